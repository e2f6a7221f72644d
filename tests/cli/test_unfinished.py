"""Comparisons and continuity sweeps that were stopped go on at the first case that is not done."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wan.cli.main import run
from wan.errors import InvalidInput
from wan.instruments.compare import Comparer
from wan.instruments.unfinished import JOURNAL_NAME, begin_or_continue
from wan.session import Sampled, Session

SMALL = ["--task", "t2v-demo", "--size", "32*32", "--sample_steps", "6", "--quiet"]
Argv = Callable[..., list[str]]


@pytest.fixture
def compare(tiny_checkpoint: Path, tmp_path: Path) -> Argv:
    def argv(*flags: str) -> list[str]:
        place = ["--ckpt_dir", str(tiny_checkpoint), "--output_dir", str(tmp_path / "out")]
        return [*SMALL, *place, "--frame_num", "5", "--prompt", "a cat", "--seed", "0", "1", *flags]

    return argv


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of all runs, in order."""
    seeds: list[int] = []
    sample = Session.sample

    def counted(self: Session, *args: Any, **how: Any) -> Sampled:
        seeds.append(how["seed"])
        return sample(self, *args, **how)

    monkeypatch.setattr(Session, "sample", counted)
    return seeds


def stop_at_case(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run_case = Comparer._run_case

    def stopping(self: Comparer, case: Any, at: int, store: Any) -> None:
        if at == number:
            raise KeyboardInterrupt
        run_case(self, case, at, store)

    monkeypatch.setattr(Comparer, "_run_case", stopping)


def test_a_comparison_goes_on_at_its_case(
    compare: Argv, tmp_path: Path, sampled: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_at_case(2, patch)
        assert run("compare", compare()) == 1
    assert "the same command continues" in capsys.readouterr().err
    sampled.clear()
    assert run("compare", compare()) == 0
    assert 1 in sampled and 0 not in sampled
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and not (tmp_path / "out" / JOURNAL_NAME).exists()
    assert run("compare", [*compare(), "--output_dir", str(tmp_path / "whole")]) == 0
    ours, whole = (json.loads((tmp_path / name / "error_comparison.json").read_text()) for name in ("out", "whole"))
    measures = [
        [case["measures"]["psnr"] for side in one["sides"].values() for case in side.get("cases", ())]
        for one in (ours, whole)
    ]
    assert measures[0] == measures[1] and len(measures[0]) > 2


def test_another_comparison_gets_a_folder_of_its_own(compare: Argv, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stop_at_case(2, patch)
        assert run("compare", compare()) == 1
    assert run("compare", compare("--sample_shift", "5")) == 0
    assert (tmp_path / "out-2" / "error_comparison.json").is_file() and (tmp_path / "out" / JOURNAL_NAME).is_file()


def test_a_finished_comparison_is_made_anew(compare: Argv, tmp_path: Path) -> None:
    for folder in ("out", "out-2"):
        assert run("compare", compare()[:-1]) == 0
        assert (tmp_path / folder / "error_comparison.json").is_file()


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    first = begin_or_continue(tmp_path / "out", flag="--output_dir", identity="a")
    second = begin_or_continue(tmp_path / "out", flag="--output_dir", identity="a")
    assert (first.directory.name, second.directory.name) == ("out", "out-2")
    with pytest.raises(InvalidInput, match="worked on by another process"):
        begin_or_continue(tmp_path / "out", flag="--output_dir", identity="a", overwrite=True)
    assert (tmp_path / "out" / JOURNAL_NAME).is_file()
    first.lock.release()
    assert begin_or_continue(tmp_path / "out", flag="--output_dir", identity="a").directory == first.directory


def test_a_continuity_sweep_goes_on_at_its_run(
    tiny_checkpoint: Path, tmp_path: Path, sampled: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ["--ckpt_dir", str(tiny_checkpoint), "--output_dir", str(tmp_path / "out")]
    argv = [*SMALL[:4], "--quiet", *place, "--frame_num", "9", "--sample_steps", "4", "5", "6"]
    sample = Session.sample

    def stopping(self: Session, *args: Any, **how: Any) -> Sampled:
        if len(sampled) == 2:
            raise KeyboardInterrupt
        return sample(self, *args, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "sample", stopping)
        assert run("continuity", argv) == 1
    sampled.clear()
    assert run("continuity", argv) == 0
    assert len(sampled) == 1 and (tmp_path / "out" / "continuity_sweep.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
