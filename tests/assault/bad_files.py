"""Broken latents, debug steps, text caches and run folders: what the tools are given, each with what breaks it."""

import json
import shutil
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.assault import harm
from tests.assault.bad_checkpoints import DEEP
from tests.assault.harm import Harm
from wan.cli.main import run
from wan.configs import WAN_CONFIGS
from wan.job import prepare
from wan.request import Request
from wan.runs.debug_latents import DebugStep, save_debug_step
from wan.runs.latents import save_latents
from wan.sampling.price import price, published_size
from wan.sampling.table import plan_record

LATENTS, STEP, RECORD = "latents.safetensors", "debug_latents/latent_step_02.pt", "run.json"


@dataclass(frozen=True, slots=True)
class FileCase:
    """``command``: the words that let a tool read the broken run folder."""

    name: str
    harm: Harm
    command: Callable[[Path], list[str]]


def make_run(folder: Path) -> Path:
    """A finished run's folder with latents and three debug steps, as the tools read it."""
    (folder / "debug_latents").mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(16, 3, 4, 4, generator=generator)
    save_latents(folder / LATENTS, latents, metadata={"task": "t2v-demo"})
    for number in (1, 2, 3):
        sigma, timestep = 1.0 - number / 4, 1000 - number
        step = DebugStep(
            step=number, timestep=timestep, sigma=sigma, expert="high_noise", x_t=latents, velocity=latents
        )
        save_debug_step(folder / "debug_latents", step)
    plan = prepare(Request(task="t2v-demo")).plan
    record = {
        "status": "finished", "task": "t2v-demo", "prompt": "a red circle", "negative_prompt": "", "seed": 1,
        "command": "python generate.py", "settings": {"size": [32, 32], "frame_completion": None},
        "plan": plan_record(plan) | {"price": price(plan, published_size(WAN_CONFIGS["t2v-demo"])).as_dict()},
        "forwards": {"planned": 4, "executed": 4}, "adjustments": [], "checkpoint": {"path": "nowhere"}, "outputs": {},
    }  # fmt: skip
    (folder / RECORD).write_text(json.dumps(record), encoding="utf-8")
    return folder


def all_file_cases() -> list[FileCase]:
    """Every broken file of a run."""
    tables: tuple[tuple[str, Mapping[str, Harm], Callable[[Path], list[str]]], ...] = (
        ("latents", _latents(), _compare),
        ("debug step", _steps(), _continuity),
        ("record for compare", _records(), _compare),
        ("record for report", _broken_json(), lambda folder: ["report", str(folder), "--output", _page(folder)]),
    )
    return [FileCase(f"{what}: {name}", breaks, to) for what, table, to in tables for name, breaks in table.items()]


def attack(case: FileCase, whole: Path, work: Path) -> tuple[str, str]:
    """(outcome, sentence) of one case: refused, or what went wrong."""
    shutil.rmtree(work, ignore_errors=True)
    copy = work / "run"
    shutil.copytree(whole, copy)
    case.harm(copy)
    before = set(work.rglob("*"))
    errors = StringIO()
    name, *words = case.command(copy)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(errors):
            code = run(name, words)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the finding
        return f"raised {type(error).__name__}: {error}"[:300], ""
    sentence = errors.getvalue()
    if harm.trap_of(copy).exists():
        return "ran the payload", sentence
    if set(work.rglob("*")) != before:
        return "left something behind", sentence
    return ("refused" if code == 2 and sentence.count("\n") == 1 else f"ended with {code}"), sentence


def _compare(folder: Path) -> list[str]:
    return ["compare", "--from_runs", str(folder), str(folder), "--output_dir", str(folder.parent / "made")]


def _continuity(folder: Path) -> list[str]:
    return ["continuity", "--from_run", str(folder), "--output_dir", str(folder.parent / "made")]


def _page(folder: Path) -> str:
    return str(folder.parent / "page.html")


def _saved(name: str, **made: Tensor) -> Harm:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        save_file(made, folder / name)

    return change


def _latents() -> dict[str, Harm]:
    good = torch.zeros(16, 3, 4, 4)
    first = harm.first_entry
    return {
        "empty": harm.content(LATENTS, b""),
        "cut": harm.cut(LATENTS, 0.5),
        "longer": harm.edited(LATENTS, lambda old: old + b"x"),
        "missing": harm.removed(LATENTS),
        "a pipe": harm.fifo(LATENTS),
        "a folder": harm.directory(LATENTS),
        "a pickle": harm.bare_pickle(LATENTS, 2),
        "a torch file with a payload": harm.payload(LATENTS, key="latents"),
        "a GGUF": harm.content(LATENTS, b"GGUF" + bytes(100)),
        "of integers": _saved(LATENTS, latents=good.to(torch.int8)),
        "of bfloat16": _saved(LATENTS, latents=good.to(torch.bfloat16)),
        "of five axes": _saved(LATENTS, latents=good[None]),
        "of one axis": _saved(LATENTS, latents=good.flatten()),
        "without frames": _saved(LATENTS, latents=good[:, :0]),
        "with NaN": _saved(LATENTS, latents=good * float("nan")),
        "with infinity": _saved(LATENTS, latents=good + float("inf")),
        "under another name": _saved(LATENTS, weight=good),
        "of no tensor": harm.content(LATENTS, b"\x02\0\0\0\0\0\0\0{}"),
        "nested": harm.content(LATENTS, struct.pack("<Q", len(DEEP)) + DEEP),
        "offsets beyond": first(LATENTS, data_offsets=[0, 2**50]),
        "shape of a petabyte": first(LATENTS, shape=[2**20, 2**10, 2**10, 2**10]),
        "dtype unknown": first(LATENTS, dtype="F4096"),
        "length 2**63": harm.edited(LATENTS, lambda old: (2**63).to_bytes(8, "little") + old[8:]),
        "linked to itself": harm.linked(LATENTS, "{name}"),
        "linked to a device": harm.linked(LATENTS, "/dev/zero"),
    }


def _step(edit: Callable[[dict[str, Any]], object]) -> Harm:
    """Change the values of a debug step."""

    def change(folder: Path) -> None:
        held = torch.load(folder / STEP, weights_only=True)
        made = edit(held)
        (folder / STEP).unlink()
        torch.save(held if made is None else made, folder / STEP)

    return change


def _steps() -> dict[str, Harm]:
    good = torch.zeros(16, 3, 4, 4)
    changed: dict[str, dict[str, Any]] = {
        "step text": {"step": "two"}, "step huge": {"step": 2**60}, "step 0": {"step": 0},
        "sigma NaN": {"sigma_t": float("nan")},
        "sigma 7": {"sigma_t": 7.0}, "sigma text": {"sigma_t": "0.5"}, "expert a number": {"expert": 3},
        "expert of a megabyte": {"expert": "x" * 10**6}, "timestep infinite": {"timestep": float("inf")},
        "x_t of integers": {"x_t": good.to(torch.int8)}, "x_t of one axis": {"x_t": good.flatten()},
        "x_t a list": {"x_t": [1.0, 2.0]}, "x_t a number": {"x_t": 3},
        "velocity of another shape": {"velocity": good[:, :1]},
        "both of another video": {"x_t": good[..., :2], "velocity": good[..., :2]},
        "x_t of a terabyte": {"x_t": torch.zeros(1).expand(16, 2**10, 2**12, 2**12)},
        "x_t sparse": {"x_t": good.to_sparse()}, "x_t empty": {"x_t": good[:0], "velocity": good[:0]},
    }  # fmt: skip
    table: dict[str, Harm] = {
        name: _step(lambda held, values=values: held | values)  # type: ignore[misc]
        for name, values in changed.items()
    }

    def bomb(members: dict[str, bytes]) -> None:
        members["archive/data/bomb"] = bytes(100 * 2**20)

    def shorter(members: dict[str, bytes]) -> None:
        victim = next(name for name in members if "/data/" in name)
        members[victim] = members[victim][:-4]

    return table | {
        "payload": harm.payload(STEP, key="x_t"),
        "payload of protocol 4": harm.payload(STEP, key="x_t", protocol=4),
        "payload in eval": harm.payload(STEP, key="x_t", call=eval),
        "bare pickle": harm.bare_pickle(STEP, 4),
        "empty": harm.content(STEP, b""),
        "cut": harm.cut(STEP, 0.6),
        "a pipe": harm.fifo(STEP),
        "a folder": harm.directory(STEP),
        "a list": _step(lambda held: [1, 2]),
        "a tensor": _step(lambda held: torch.zeros(2)),
        "no velocity": _step(lambda held: {name: value for name, value in held.items() if name != "velocity"}),
        "a zip bomb": harm.rezipped(STEP, bomb, zipfile.ZIP_DEFLATED),
        "a storage shorter than said": harm.rezipped(STEP, shorter),
        "a memo of 2**31": harm.pickled(STEP, lambda old: b"\x80\x02}r\xff\xff\xff\x7f."),
        "a safetensors file": lambda folder: harm.rewrite(folder / STEP, (folder / LATENTS).read_bytes()),
        "linked to a device": harm.linked(STEP, "/dev/zero"),
    }


def _broken_json() -> dict[str, Harm]:
    return {
        "empty": harm.content(RECORD, b""),
        "half": harm.cut(RECORD, 0.5),
        "a list": harm.content(RECORD, b"[]"),
        "nested": harm.content(RECORD, DEEP),
        "not UTF-8": harm.content(RECORD, b'{"task": "\xff"}'),
        "plan a number": harm.config(RECORD, plan=3),
        "settings a list": harm.config(RECORD, settings=[1]),
        "settings with a size of text": harm.config(RECORD, settings={"size": ["a", "b"]}),
        "outputs a number": harm.config(RECORD, outputs=7),
    }


def _records() -> dict[str, Harm]:
    table = {name: breaks for name, breaks in _broken_json().items() if name != "outputs a number"}
    return table | {
        "task unknown": harm.config(RECORD, task="t2v-evil"),
        "task a list": harm.config(RECORD, task=["t2v-demo"]),
        "prompt a number": harm.config(RECORD, prompt=3),
        "seed text": harm.config(RECORD, seed="one"),
        "checkpoint missing": harm.without(RECORD, "checkpoint"),
        "checkpoint path a number": harm.config(RECORD, checkpoint={"path": 3}),
        "checkpoint path with NUL": harm.config(RECORD, checkpoint={"path": "a\0b"}),
        "forwards text": harm.config(RECORD, forwards={"executed": "many"}),
        "price infinite": harm.config(RECORD, plan=b'{"price": {"planned": {"flops": 1e999}}}'),
        "a pipe": harm.fifo(RECORD),
    }
