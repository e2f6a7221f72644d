"""The machine flags together: what they mean, and what contradicts."""

import pytest

from tests.goldens import RUNS, materialise
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.machine import Machine
from wan.request import parse_request
from wan.text2video import WanT2V


@pytest.mark.parametrize(
    ("argv", "offload"),
    [
        ([], None),
        (["--offload_model", "True"], "expert"),
        (["--offload_model", "False"], "none"),
        (["--offload", "group"], "group"),
        (["--offload", "group", "--offload_model", "True"], "group"),
        (["--offload", "none", "--offload_model", "False"], "none"),
    ],
)
def test_offload(argv: list[str], offload: str | None) -> None:
    assert parse_request(argv).machine.offload == offload


def test_large_models_offload_by_default_and_the_demo_model_stays() -> None:
    assert Machine().offload_for(WAN_CONFIGS["t2v-A14B"]) == "expert"
    assert Machine().offload_for(WAN_CONFIGS["t2v-demo"]) == "none"
    assert Machine(offload="group").offload_for(WAN_CONFIGS["t2v-demo"]) == "group"


@pytest.mark.parametrize("value", ["True", "true", "1", "False", "no"])
def test_offload_model_takes_a_value_as_upstream(value: str) -> None:
    expected = "expert" if value in {"True", "true", "1"} else "none"
    assert parse_request(["--offload_model", value]).machine.offload == expected


@pytest.mark.parametrize(("offload", "official"), [("none", "True"), ("expert", "False"), ("group", "False")])
def test_a_contradiction_is_refused(offload: str, official: str) -> None:
    with pytest.raises(InvalidInput, match=f"--offload {offload} and --offload_model {official} contradict"):
        parse_request(["--offload", offload, "--offload_model", official])


def test_group_offload_needs_a_gpu(tmp_path_factory: pytest.TempPathFactory) -> None:
    run = "t2v_A14B_unipc"
    folder = str(materialise(run, tmp_path_factory.mktemp("checkpoint")))
    with pytest.raises(InvalidInput, match="--offload group moves blocks from host memory to a GPU"):
        WanT2V(RUNS[run].config, folder, device="cpu", offload="group")
    with pytest.raises(InvalidInput, match="offload 'disk' is unknown"):
        WanT2V(RUNS[run].config, folder, device="cpu", offload="disk")
    with pytest.raises(InvalidInput, match=r"WanT2V does not make i2v-A14B; use wan\.WanI2V"):
        WanT2V(RUNS["i2v_A14B_unipc"].config, folder, device="cpu")
