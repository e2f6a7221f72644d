"""Memory and seconds before a run: the hardware table's figures, smaller with small weights, and one table of GPUs."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny_checkpoint import make_tiny_checkpoint
from wan.cli.main import run
from wan.configs import WAN_CONFIGS
from wan.footprint import Footprint, footprint, parts_of
from wan.gpus import EFFICIENCY, GPUS
from wan.job import prepare
from wan.loading.layouts import open_checkpoint
from wan.machine import Machine
from wan.parallel.price import FLOPS_PER_SECOND
from wan.request import Request
from wan.sampling.price import published_size
from wan.weight_options import WeightOptions

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| ([\w.-]+) \| (\d+\*\d+), (\d+) \|((?: \d+ / \d+ \|){4}) \d+ \|$", re.MULTILINE)
COLUMNS = (
    Machine(offload="none"),
    Machine(offload="expert"),
    Machine(offload="group"),
    Machine(offload="group", t5_cpu=True, vae_tiling=True),
)
CELLS = [
    (task, size, int(frames), machine, *map(int, cell.split("/")))
    for task, size, frames, cells in ROW.findall((ROOT / "docs" / "usage.md").read_text(encoding="utf-8"))
    for machine, cell in zip(COLUMNS, cells.strip(" |").split("|"), strict=True)
]


def of(task: str, size: str, frames: int, machine: Machine, quantize: str = "none") -> Footprint:
    config = WAN_CONFIGS[task]
    width, height = map(int, size.split("*"))
    request = Request(task=task, size=(width, height), frame_num=frames, prompt="x")
    job = prepare(request, needs_image=False)
    parts = parts_of(config, published_size(config), machine, WeightOptions(quantize=quantize))
    return footprint(
        config,
        published_size(config),
        job.geometry,
        parts,
        machine,
        passes=2,
        is_quantised=quantize != "none",
    )


def test_the_table_was_found() -> None:
    assert len(CELLS) == 11 * 4


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell[0]} {cell[1]} {cell[3].offload} {cell[3].t5_cpu}")
def test_the_figures_are_those_of_the_hardware_table(cell: tuple[str, str, int, Machine, int, int]) -> None:
    task, size, frames, machine, gpu, host = cell
    found = of(task, size, frames, machine)
    # the table is rounded up, and counts the image encoder's tokens and the borders of two blocks
    assert gpu - 1.6 - 0.07 * gpu <= found.device / 1e9 <= gpu + 0.3
    assert abs(found.host / 1e9 - host) <= 1.6 or "i2v-14B" in task


@pytest.mark.parametrize("quantize", ["fp8", "int8"])
def test_a_byte_for_each_weight_halves_the_experts(quantize: str) -> None:
    plain, small = (of("t2v-A14B", "832*480", 81, Machine(offload="none"), how) for how in ("none", quantize))
    assert plain.device - small.device == pytest.approx(2 * 14.05e9, rel=0.02)


def test_a_checkpoint_is_measured_by_its_files(tmp_path: Path) -> None:
    folder, config = make_tiny_checkpoint(tmp_path / "tiny"), WAN_CONFIGS["t2v-demo"]
    checkpoint = open_checkpoint(config, folder)
    parts = parts_of(config, checkpoint.denoiser_size, Machine(), WeightOptions(), checkpoint=checkpoint)
    vae = (folder / "vae" / "diffusion_pytorch_model.safetensors").stat().st_size
    assert parts.vae == pytest.approx(vae, rel=0.05) and 0 < parts.text < 1e6


def test_the_dry_run_says_both(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--task", "t2v-A14B", "--prompt", "x", "--size", "832*480", "--dry_run"]
    assert run("generate", argv) == 0
    plain = capsys.readouterr().out
    assert "(weights in bfloat16), GiB of a GPU + of the host: --offload none 71.9 + 1.9" in plain
    assert "RTX 4090 30 min (too small: 24 GiB)" in plain and "expert 31.4 + 28.5 (this run)" in plain
    assert run("generate", [*argv, "--quantize", "fp8"]) == 0
    assert "RTX 4090 30 min, A100 16 min" in capsys.readouterr().out
    assert run("generate", [*argv, "--device", "cpu", "--ignore_memory_check"]) == 0
    on_cpu = capsys.readouterr().out
    assert "GiB of host memory" in on_cpu and "RTX 4090" not in on_cpu


def test_the_demo_model_has_no_time_on_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("generate", ["--task", "t2v-demo", "--prompt", "x", "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "MB of weights" in said and "H100" not in said


def test_there_is_one_table_of_gpus() -> None:
    assert GPUS["H100"].peak * EFFICIENCY == FLOPS_PER_SECOND
    assert GPUS["A100"].seconds(312e12) == pytest.approx(1 / EFFICIENCY)
    assert replace(Machine(), offload="none").offload_for(WAN_CONFIGS["t2v-A14B"]) == "none"
