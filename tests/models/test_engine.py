"""The engine: what it does to a network that is offloaded, and where nothing can be compiled."""

from collections.abc import Iterator

import pytest
import torch

from wan.cli.main import run as run_command
from wan.errors import InvalidInput
from wan.models.denoiser import batched
from wan.models.engine import EXACT, Engine, check_compile, why_not_compile
from wan.models.fixed_inputs import inputs_and_keys_kept, inputs_kept, nothing_kept

CPU = torch.device("cpu")


@pytest.fixture
def no_compiler() -> Iterator[None]:
    import torch._inductor.config as config

    with config.patch({"cpp.cxx": (None, "no-such-compiler")}):
        yield


def test_keys_are_not_kept_of_a_network_that_is_never_whole_on_the_device() -> None:
    assert EXACT.keep is inputs_and_keys_kept
    assert EXACT.for_run("expert") is EXACT
    assert Engine(evaluate=batched).for_run("group") == Engine(evaluate=batched, keep=inputs_kept)
    assert Engine(keep=nothing_kept).for_run("group").keep is nothing_kept


def test_compiling_is_refused_where_it_cannot_work(no_compiler: None) -> None:
    assert "no-such-compiler" in (why_not_compile(CPU) or "")
    with pytest.raises(InvalidInput, match=r"--compile cannot be used here \(.*\); install a C\+\+ compiler"):
        check_compile(CPU, offload=None)
    with pytest.raises(InvalidInput, match="--compile and --offload group do not go together"):
        check_compile(CPU, offload="group")


def test_a_cache_inside_the_network_is_not_compiled() -> None:
    assert Engine(compile=True).for_run("none") == Engine(compile=True)
    with pytest.raises(InvalidInput, match="--compile and a cache inside the network do not go together"):
        Engine(compile=True).for_run("none", cached=True)


def test_the_refusal_is_one_sentence(no_compiler: None, capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    flags = ["--task", "t2v-demo", "--sample_steps", "2", "--frame_num", "5", "--compile"]
    assert run_command("generate", [*flags, "--output_dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--compile cannot be used here" in error
