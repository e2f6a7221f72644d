"""Runs that the command line left unfinished in the output folder: the service goes on with them where they are."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.serve.service import RED, settings, stub_desk, until
from wan.cli.main import run as run_command
from wan.generation import generate
from wan.job import prepare
from wan.request import Request
from wan.runs import LATENTS_NAME, load_record
from wan.runs.lock import working_in
from wan.sampling.observers import Observer, StepEvent
from wan.serve.desk import Desk
from wan.serve.views import RequestRefused
from wan.weight_options import WeightOptions

ASKED = Request(task="t2v-demo", prompt=RED, frame_num=5, sample_steps=4, seed=3)


class StopsAfter(Observer):
    """As Ctrl-C does, once ``steps`` steps are done."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_step_end(self, event: StepEvent) -> None:
        if event.step.index + 1 == self._steps:
            raise KeyboardInterrupt


def left_behind(folder: Path, request: Request = ASKED) -> Path:
    """The run folder of a run that was stopped after two steps."""
    with pytest.raises(KeyboardInterrupt):
        generate(
            prepare(Request(**{**_fields(request), "output_dir": folder})),
            say=lambda line: None,
            show_progress=False,
            observers=[StopsAfter(2)],
        )
    (run,) = folder.glob("t2v-demo_*")
    return run


def _fields(request: Request) -> dict[str, object]:
    return {name: getattr(request, name) for name in Request.__dataclass_fields__}


def test_a_run_of_the_command_line_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "out"
    assert run_command("generate", [*ASKED.argv(), "--output_dir", str(whole)]) == 0
    run = left_behind(folder)
    with Desk(settings(folder)) as desk:
        entry = desk.adopt(run)
        assert (entry.prompt, entry.seed, entry.run_folder) == (RED, 3, run)
        assert desk.adopt(run).id == entry.id  # a second press
        until(lambda: desk.entry(entry.id).is_over, seconds=120)
        assert desk.entry(entry.id).state == "finished", desk.entry(entry.id).error
        with pytest.raises(RequestRefused, match="is finished"):
            desk.adopt(run)
        assert desk.submit(desk.entry(entry.id).settings).seed == 3
    assert len(load_record(run)["resumed"]) == 1
    (other,) = whole.iterdir()
    assert torch.equal(load_file(run / LATENTS_NAME)["latents"], load_file(other / LATENTS_NAME)["latents"])


def test_a_run_that_the_service_could_not_go_on_with_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run = left_behind(folder)
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.name != ".lock"}
    with stub_desk(folder, weights=WeightOptions(quantize="fp8")) as (desk, _):
        with pytest.raises(RequestRefused, match="other LoRA files or weights"):
            desk.adopt(run)
        with working_in(run), pytest.raises(RequestRefused, match="being worked on"):
            desk.adopt(run)
        deeper = folder / "group" / "run"
        deeper.mkdir(parents=True)
        with pytest.raises(RequestRefused, match="lies deeper"):
            desk.adopt(deeper)
        assert desk.entries() == []
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.name != ".lock"} == before


def test_a_run_of_another_checkpoint_is_refused(tmp_path: Path, tiny_checkpoint: Path) -> None:
    folder = tmp_path / "out"
    tiny = Request(**{**_fields(ASKED), "ckpt_dir": tiny_checkpoint, "size": (32, 32)})  # type: ignore[arg-type]
    run = left_behind(folder, tiny)
    with stub_desk(folder) as (desk, _), pytest.raises(RequestRefused, match="which this service does not have"):
        desk.adopt(run)


def test_the_service_starts_without_what_going_on_needs() -> None:
    code = "import sys, wan.serve.desk; print('wan.serve.adopting' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
