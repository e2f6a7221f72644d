"""What is kept of a stage's inputs changes no bit of any video: all model kinds, shortcuts, dtypes and offloading."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import wan
from tests.goldens import RUNS, worst
from tests.parity.conftest import Materialised
from tests.parity.test_generate import arguments
from wan.analysis.probe import GuidanceProbe
from wan.models.denoiser import batched, one_by_one
from wan.models.engine import EXACT, Engine, why_not_compile
from wan.models.fixed_inputs import inputs_kept, nothing_kept
from wan.pipeline import Pipeline
from wan.sampling.plan import Expert

CPU = torch.device("cpu")
TWO_EXPERTS = {
    "cfg_truncate_steps": 1,
    "cfg_truncate_high_noise_steps": 1,
    "enable_half_frame_generation": True,
    "frame_completion": "interpolate",
    "frame_positions": "spread",
}
ONE_EXPERT = {"cfg_truncate_steps": 2}


def shortcuts(run: str) -> dict[str, Any]:
    return TWO_EXPERTS if RUNS[run].config.has_two_experts else ONE_EXPERT


def pipeline(materialised: Materialised, run: str, engine: Engine, dtype: str = "float32") -> Pipeline:
    entry = getattr(wan, RUNS[run].config.entry)
    made: Pipeline = entry(RUNS[run].config, str(materialised(run)), device="cpu", dtype=dtype, engine=engine)
    return made


WAYS = ((False, True), (True, True), (True, False), (False, False))
"""(with shortcuts, drops an expert): plain and with shortcuts, with an expert that is dropped and experts that stay."""


def videos(made: Any, run: str, ways: Sequence[tuple[bool, bool]] = WAYS) -> list[Tensor]:
    return [
        made.generate(**arguments(run), **(shortcuts(run) if short else {}), offload_model=offload)
        for short, offload in ways
    ]


@pytest.mark.parametrize("evaluate", [one_by_one, batched])
@pytest.mark.parametrize("run", RUNS)
def test_kept_inputs_change_no_bit(materialised: Materialised, run: str, evaluate: Any) -> None:
    plain, short = videos(pipeline(materialised, run, Engine(evaluate=evaluate, keep=nothing_kept)), run, WAYS[:2])
    for keep in (inputs_kept, EXACT.keep):
        kept = videos(pipeline(materialised, run, Engine(evaluate=evaluate, keep=keep)), run)
        assert [torch.equal(*pair) for pair in zip(kept, [plain, short, short, plain], strict=True)] == [True] * 4


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("run", ["t2v_A14B_unipc", "wan21_i2v_unipc"])
def test_nor_in_half_precision(materialised: Materialised, run: str, dtype: str) -> None:
    plain = pipeline(materialised, run, Engine(keep=nothing_kept), dtype).generate(**arguments(run))  # type: ignore[attr-defined]
    kept = pipeline(materialised, run, EXACT, dtype).generate(**arguments(run))  # type: ignore[attr-defined]
    assert torch.equal(kept, plain)


def test_nor_of_what_a_debug_run_measures(materialised: Materialised) -> None:
    run, measured = "t2v_A14B_unipc", []
    for engine in (Engine(keep=nothing_kept), EXACT):
        probe = GuidanceProbe(dict.fromkeys(Expert, 4.0))
        made: Any = pipeline(materialised, run, engine)
        made.generate(**arguments(run), **TWO_EXPERTS, observers=[probe])
        assert probe.shadow.total() > 0  # it asked for the passes that were skipped
        measured.append(probe.steps)
    assert measured[0] == measured[1]


def test_one_pipeline_keeps_nothing_from_prompt_to_prompt(materialised: Materialised) -> None:
    run = "t2v_A14B_unipc"
    made: Any = pipeline(materialised, run, EXACT)
    fresh: Any = pipeline(materialised, run, EXACT)
    asked = arguments(run) | {"offload_model": False}
    other = asked | {"input_prompt": "something else"}
    first, second = made.generate(**asked), made.generate(**other)
    assert torch.equal(second, fresh.generate(**other)) and not torch.equal(first, second)
    assert torch.equal(made.generate(**asked), first)


@pytest.mark.slow
def test_compiled_blocks_agree_over_experts_and_frame_counts(materialised: Materialised) -> None:
    if reason := why_not_compile(CPU):
        pytest.skip(reason)
    run = "t2v_A14B_unipc"
    made = pipeline(materialised, run, Engine(compile=True))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = videos(made, run)
    # one for the first number of frames, one for any other; both experts, dropped and kept, share them
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    assert not torch._dynamo.utils.counters["graph_break"]
    plain = videos(pipeline(materialised, run, EXACT), run)
    assert max(map(worst, compiled, plain)) < 1e-4
