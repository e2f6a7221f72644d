"""A small arena from its file to its results: on the demo model, killed and continued, and what starts a new folder."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.drafts import draft_figures
from wan.cli.main import main, run
from wan.instruments.arena import runner
from wan.instruments.arena.arena import DATA, FIGURE, TABLE, TABLES
from wan.instruments.arena.store import CASES, canonical
from wan.sampling.guidance import Branch, ClassifierFree

__all__ = ["draft_figures"]

SUITE = """\
base: {sample_steps: 4}
prompts:
  - a blue square spinning on a cyan background
  - a green square moving left on a black background
  - a yellow square bouncing on a white background
  - a black triangle growing on a red background
seeds: [0]
methods:
  - {name: cut, family: CFG, role: ours, set: {cfg_truncate_steps: 1, cfg_truncate_high_noise_steps: 1}}
  - {name: three, family: steps, role: peer, set: {sample_steps: 3}}
  - {name: sea, family: SeaCache, role: peer, set: {cache: sea, cache_threshold: 2.0}}
  - {name: none, peer: {class: NoSuchCacheConfig}}
  - {name: not here, set: {sample_shift: -1}}
"""
SMALL = """\
base: {sample_steps: 3, frame_num: 9, size: "32*32"}
prompts: ["a red circle", "a blue square"]
seeds: [0]
methods:
  - {name: cut, role: ours, set: {cfg_truncate_steps: 1}}
  - {name: two, role: peer, set: {sample_steps: 2}}
"""
SECONDS = ("seconds", "time")


def write(folder: Path, text: str, name: str = "mine") -> str:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def table(folder: Path) -> list[dict[str, str]]:
    """The rows of results.csv, without what a clock measured."""
    rows = list(csv.DictReader((folder / TABLE).open(encoding="utf-8")))
    return [{name: value for name, value in row.items() if name not in SECONDS} for row in rows]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model, four steps, as many clips as a Frechet distance needs."""
    place = tmp_path_factory.mktemp("demo")
    assert main(["bench", "arena", "--suite", write(place, SUITE), "--output_dir", str(place), "--quiet"]) == 0
    return place / "mine"


def test_the_demo_model_is_scored_on_both_yardsticks(demo: Path) -> None:
    rows = {row["name"]: row for row in table(demo)}
    assert list(rows) == ["plain", "re-run", "another seed", "cut", "three", "sea", "none", "not here"]
    assert rows["plain"]["psnr"] == rows["re-run"]["psnr"] == "inf" and float(rows["another seed"]["psnr"]) < 40
    assert "diffusers has no NoSuchCacheConfig" in rows["none"]["error"] and rows["none"]["clips"] == "0"
    assert rows["not here"]["error"].startswith("--sample_shift -1 must be greater than 0")
    for name in ("plain", "cut", "three", "sea"):
        assert rows[name]["clips"] == "4" and 0.0 <= float(rows[name]["obedience"]) <= 1.0
        assert float(rows[name]["frechet"]) > 0.0
    data = json.loads((demo / DATA).read_text(encoding="utf-8"))
    assert data["frechet_floor"]["mean"] < float(rows["plain"]["frechet"])
    assert [one["name"] for one in data["against_peers"]] == ["cut"]
    assert "Ours against the best peer" in (demo / TABLES).read_text("utf-8") and (demo / FIGURE).is_file()


def test_a_planned_shortcut_costs_what_its_plan_says(demo: Path) -> None:
    rows = {row["name"]: float(row["cost"]) for row in table(demo) if row["cost"]}
    assert rows["cut"] == pytest.approx(6 / 8, rel=1e-12) and rows["three"] == pytest.approx(3 / 4, rel=1e-12)
    assert rows["plain"] == rows["re-run"] == 1.0
    assert 0.25 < rows["sea"] < 1.0  # decided while sampling: what really ran


def test_an_arena_that_is_killed_goes_on_and_ends_with_the_same_table(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, flags = write(tmp_path, SMALL), ["--ckpt_dir", str(tiny_checkpoint), "--quiet"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run("bench arena", ["--suite", suite, "--output_dir", str(whole), *flags]) == 0
    made: list[str] = []
    real = runner.Arena._score

    def score(self: runner.Arena, one: Any, *rest: Any) -> dict[str, Any]:
        if len(made) == 7:
            raise KeyboardInterrupt
        made.append(one.name)
        return real(self, one, *rest)

    monkeypatch.setattr(runner.Arena, "_score", score)
    again = ["--suite", suite, "--output_dir", str(parts), *flags]
    assert run("bench arena", again) == 1
    assert "interrupted; the same command continues" in capsys.readouterr().err
    before = {path: path.read_bytes() for path in (parts / "mine" / CASES).rglob("*.json")}
    assert len(before) == 7
    assert run("bench arena", [*again, "--table_only"]) == 0
    assert {row["clips"] for row in table(parts / "mine")} == {"1"}
    monkeypatch.setattr(runner.Arena, "_score", real)
    capsys.readouterr()
    assert run("bench arena", again) == 0
    assert "continuing in" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    assert table(parts / "mine") == table(whole / "mine")


def test_what_is_complete_is_not_made_again_and_a_changed_suite_gets_a_new_folder(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, flags = (
        write(tmp_path, SMALL),
        ["--ckpt_dir", str(tiny_checkpoint), "--quiet", "--output_dir", str(tmp_path)],
    )
    assert run("bench arena", ["--suite", suite, *flags]) == 0
    first = table(tmp_path / "mine")
    scored: list[str] = []
    real = runner.Arena._score
    monkeypatch.setattr(
        runner.Arena, "_score", lambda self, one, *rest: scored.append(one.name) or real(self, one, *rest)
    )
    assert run("bench arena", ["--suite", suite, *flags]) == 0 and scored == []
    write(tmp_path, SMALL + "  - {name: more, set: {cfg_truncate_steps: 2}}\n")
    capsys.readouterr()
    assert run("bench arena", ["--suite", suite, *flags]) == 0
    said = capsys.readouterr().out
    assert f"mine was made with another suite, so this arena goes to {tmp_path / 'mine-2'}" in said
    assert "the ground truth of these clips is not known" in said
    assert scored == ["more", "more"]  # the others are taken over
    assert table(tmp_path / "mine-2")[:-1] == first == table(tmp_path / "mine")
    monkeypatch.setattr("wan.instruments.arena.store.source_digest", lambda names: "other code")
    assert run("bench arena", ["--suite", suite, *flags]) == 0
    assert "another code, so this arena goes to" in capsys.readouterr().out
    assert len(scored) == 2 + 2 * 6


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--suite", "nothing"], "--suite nothing is neither a file nor one of experiments, full, quick"),
        (["--threads", "0"], "--threads 0 must be at least 1"),
        (["--ckpt_dir", "nowhere"], "nowhere is not a directory"),
        (["--dtype", "int8"], "invalid choice: 'int8'"),
    ],
)
def test_bad_input_is_one_sentence(
    flags: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("bench", ["arena", *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("benchmark.py arena: ") and sentence in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_dry_run_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "arena", "--suite", "full", "--dry_run"]) == 0
    assert "suite full: 36 clips" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_what_decides_a_case_has_one_spelling() -> None:
    value = {"b": frozenset({Branch.UNCOND, Branch.COND}), "a": ClassifierFree(3.0), "path": Path("x")}
    assert canonical(value) == {
        "b": [Branch.COND.value, Branch.UNCOND.value],
        "a": {"class": "ClassifierFree", **{"scale": 3.0}},
        "path": "x",
    }
