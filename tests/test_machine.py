"""The machine flags together: what they mean, and what contradicts."""

import pytest
from wan.options import parse_options

from tests.goldens import RUNS, materialise
from wan.errors import InvalidInput
from wan.text2video import WanT2V


@pytest.mark.parametrize(
    ("argv", "offload"),
    [
        ([], "expert"),
        (["--offload_model", "True"], "expert"),
        (["--offload_model", "False"], "none"),
        (["--offload", "group"], "group"),
        (["--offload", "group", "--offload_model", "True"], "group"),
        (["--offload", "none", "--offload_model", "False"], "none"),
    ],
)
def test_offload(argv: list[str], offload: str) -> None:
    options = parse_options(argv)
    assert options.machine.offload == offload
    assert options.offload_model is (offload != "none")


@pytest.mark.parametrize(("offload", "official"), [("none", "True"), ("expert", "False"), ("group", "False")])
def test_a_contradiction_is_refused(offload: str, official: str) -> None:
    with pytest.raises(InvalidInput, match=f"--offload {offload} and --offload_model {official} contradict"):
        parse_options(["--offload", offload, "--offload_model", official])


def test_group_offload_needs_a_gpu(tmp_path_factory: pytest.TempPathFactory) -> None:
    run = "t2v_A14B_unipc"
    folder = str(materialise(run, tmp_path_factory.mktemp("checkpoint")))
    with pytest.raises(InvalidInput, match="--offload group moves blocks from host memory to a GPU"):
        WanT2V(RUNS[run].config, folder, device="cpu", offload="group")
    with pytest.raises(InvalidInput, match="offload 'disk' is unknown"):
        WanT2V(RUNS[run].config, folder, device="cpu", offload="disk")
    with pytest.raises(InvalidInput, match=r"WanT2V does not make i2v-A14B; use wan\.WanI2V"):
        WanT2V(RUNS["i2v_A14B_unipc"].config, folder, device="cpu")
