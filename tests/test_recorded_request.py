"""``--from FILE``: the request that a file carries is the one that made it; what is not to be trusted is refused."""

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.faults.conftest import Refused, refused
from tests.test_request_round_trip import requests
from wan.cli.generate import main
from wan.commands import replay_line
from wan.errors import InvalidInput
from wan.image_input import open_picture
from wan.machine import Machine
from wan.prompt_extension import PromptExtension
from wan.recorded_request import recorded_request
from wan.request import Request, parse_request
from wan.runs.video import write_image, write_video
from wan.shortcuts import Shortcuts
from wan.texts import encodable

__all__ = ["refused"]

PICTURE = torch.zeros(3, 1, 16, 16)
DEMO = Request(task="t2v-demo", prompt="a red circle", frame_num=9, sample_steps=4, seed=5)
HALF = Shortcuts(frame_completion="interpolate")


def carried(request: Request, *, seed: int | None = None) -> dict[str, str]:
    return {"prompt": request.prompt or "", "command": request.command(seed=request.seed if seed is None else seed)}


def as_file(folder: Path, metadata: dict[str, str], suffix: str) -> Path:
    path = folder / f"file{suffix}"
    if suffix == ".mp4":
        write_video(path, PICTURE, fps=16, metadata=metadata)
    elif suffix == ".png":
        write_image(path, PICTURE, metadata=metadata)
    else:
        path.write_text(encodable(json.dumps(metadata)), encoding="utf-8")
    return path


def without_places(request: Request) -> Request:
    """What a file may say: where this program writes, and whether it checks the memory, is not its business."""
    machine = replace(request.machine, text_cache=None, ignore_memory_check=False)
    plain = Request()
    return replace(
        request,
        machine=machine,
        output_dir=plain.output_dir,
        save_file=None,
        overwrite=False,
        debug_output_dir=None,
    )


# what a run records holds the extended prompt itself
RECORDED = requests().map(lambda request: replace(request, extension=PromptExtension()))


@settings(max_examples=60, deadline=None)
@given(request=RECORDED, seed=st.integers(0, 2**63 - 1), suffix=st.sampled_from((".json", ".json", ".png")))
def test_a_request_comes_back_from_its_file(
    tmp_path_factory: pytest.TempPathFactory, request: Request, seed: int, suffix: str
) -> None:
    path = as_file(tmp_path_factory.mktemp("file"), carried(request, seed=seed), suffix)
    found = recorded_request(path).request
    assert found == without_places(request.lasting(seed=seed))
    assert parse_request(found.argv()) == found


@settings(max_examples=8, deadline=None)
@given(request=RECORDED)
def test_a_request_comes_back_from_its_mp4(tmp_path_factory: pytest.TempPathFactory, request: Request) -> None:
    path = as_file(tmp_path_factory.mktemp("file"), carried(request, seed=3), ".mp4")
    assert recorded_request(path).request == without_places(request.lasting(seed=3))


def planned(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    main([*argv, "--dry_run"])
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", [".mp4", ".png", ".json", "folder"])
def test_a_file_plans_what_its_flags_plan_and_flags_beside_it_win(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = as_file(tmp_path, carried(DEMO), ".json" if kind == "folder" else kind)
    if kind == "folder":
        path.rename(tmp_path / "run.json")
        path = tmp_path
    assert planned(["--from", str(path)], capsys) == planned(DEMO.argv(), capsys)
    more = ["--sample_steps", "6", "--prompt", "a blue square"]
    assert planned([*more, "--from", str(path)], capsys) == planned([*DEMO.argv(), *more], capsys)


def test_a_budget_beside_a_file_with_shortcuts_stands_in_their_place(tmp_path: Path) -> None:
    recorded = recorded_request(as_file(tmp_path, carried(replace(DEMO, shortcuts=HALF)), ".json"))
    budget = replace(DEMO, shortcuts=Shortcuts(budget=0.5))
    assert parse_request(recorded.argv_beside(budget)).shortcuts == Shortcuts()
    assert parse_request(recorded.argv_beside(DEMO)).shortcuts == HALF
    more = replace(DEMO, shortcuts=Shortcuts(cfg_truncate_steps=1))
    assert parse_request(recorded.argv_beside(more)).shortcuts == HALF
    of_budget = recorded_request(as_file(tmp_path, carried(budget), ".json"))
    assert parse_request(of_budget.argv_beside(more)).shortcuts == Shortcuts()


def test_a_command_for_several_gpus_and_an_installed_one_are_read(tmp_path: Path) -> None:
    shared = replace(DEMO, machine=Machine(ulysses_size=2))
    assert replay_line("generate", processes=2).startswith("torchrun --nproc_per_node=2 ")
    assert recorded_request(as_file(tmp_path, carried(shared), ".json")).request == shared
    for program in ("wan generate", "torchrun --nproc_per_node=2 -m wan generate", "python 'a --b/generate.py'"):
        command = {"command": f"{program} {shlex.join(DEMO.argv())}"}
        assert recorded_request(as_file(tmp_path, command, ".json")).request == DEMO


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ckpt_dir", "its --ckpt_dir /nowhere/at/all is not here; give --ckpt_dir beside it"),
        ("image", "its --image /nowhere/at/all is not here; give --image beside it"),
        ("plan", "its --plan /nowhere/at/all is not here; give --plan beside it"),
    ],
)
def test_what_is_not_here_is_named_unless_another_is_given(tmp_path: Path, name: str, said: str) -> None:
    path, other = Path("/nowhere/at/all"), tmp_path
    change = {"shortcuts": Shortcuts(plan=path)} if name == "plan" else {name: path}
    instead = {"shortcuts": Shortcuts(plan=other)} if name == "plan" else {name: other}
    recorded = recorded_request(as_file(tmp_path, carried(replace(DEMO, **change)), ".json"))
    with pytest.raises(InvalidInput, match=said):
        recorded.refuse_missing(recorded.request)
    recorded.refuse_missing(replace(recorded.request, **instead))


REFUSALS = {
    "python generate.py --fast_mode": "does not know what is in it (unrecognized arguments: --fast_mode",
    "python generate.py --task t3v": "does not know what is in it (argument --task: invalid choice: 't3v'",
    "python generate.py --use_prompt_extend": "it asks for a language model, which a file may not choose",
    "python generate.py --help": "does not know what is in it (unrecognized arguments: --help",
    "python generate.py --from a.mp4": "does not know what is in it (unrecognized arguments: --from a.mp4",
    "rm -rf / --task t2v-demo": "'rm -rf / --task t2v-demo' is no command that makes a video",
    "python generate.py; rm -rf /": "is no command that makes a video",
    "": "'' is no command that makes a video",
    "python generate.py --prompt 'open": "the command in it cannot be read (No closing quotation)",
}


@pytest.mark.parametrize("command", REFUSALS)
def test_a_command_that_is_not_ours_is_refused(command: str, tmp_path: Path, refused: Refused) -> None:
    path = as_file(tmp_path, {"command": command}, ".png")
    said = refused("generate", "--from", str(path), "--dry_run")
    assert f"--from {path}: " in said and REFUSALS[command] in said


def test_a_file_without_our_settings_is_refused(tmp_path: Path, refused: Refused) -> None:
    plain = tmp_path / "plain.png"
    Image.new("RGB", (8, 8)).save(plain)
    others = as_file(tmp_path, {"parameters": "a cat\nSteps: 20"}, ".png")
    listed, text, pipe = tmp_path / "list.json", tmp_path / "text.mp4", tmp_path / "pipe.mp4"
    listed.write_text("[1]"), text.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"), os.mkfifo(pipe)
    cases = {
        plain: "plain.png carries no settings: it was not written by this program, or re-encoded",
        others: "carries settings of another program",
        listed: "is no record of a run: it holds no JSON object; give the run.json of a run",
        text: "cannot be read as a video",
        pipe: "cannot be read as a video (it is a named pipe)",
        tmp_path / "missing.mp4": "cannot be read as a video (it is missing)",
        tmp_path / "missing.png": "cannot be read as a picture (it is missing)",
        tmp_path: "is not a run folder: it has no run.json",
    }
    for path, sentence in cases.items():
        assert sentence in refused("generate", "--from", str(path))
    assert "--resume and --from exclude each other" in refused("generate", "--from", str(plain), "--resume", "run")


def test_another_picture_in_the_place_of_the_image_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "a.png"
    Image.new("RGB", (64, 48)).save(image)
    request = Request(task="i2v-A14B", prompt="x", image=image, size=(64, 48), frame_num=5, seed=1)
    hashed = carried(request) | {"image_sha256": open_picture(image).sha256}
    path = as_file(tmp_path, hashed, ".mp4")
    said = f"--image {image} is another picture than the one that {path} was made from"
    assert said not in planned(["--from", str(path)], capsys)
    Image.new("RGB", (64, 48), "red").save(image)
    assert said in planned(["--from", str(path)], capsys)
