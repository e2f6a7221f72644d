"""Whole tuning runs on tiny checkpoints: the calibration, going on after kill -9, and what keeps a folder from it."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.goldens import input_image, materialise
from wan.cli.main import run
from wan.commands import SOURCE_DIR
from wan.planning.stored import read_calibration
from wan.runs import checkpoint_identity
from wan.runs.journal import Journal
from wan.tune.lockstep import ClipBatch
from wan.tune.search import Workshop
from wan.tune.verify import Score, Verifier, expected

SMALL = [
    *("--sample_steps", "6", "--frame_num", "9", "--size", "32*32", "--clips", "2", "--verify_clips", "2"),
    *("--trials", "6", "--amplification_steps", "2", "--amplification_clips", "1", "--at_once", "2"),
    *("--budgets", "0.7", "0.5", "--quiet"),
]
TRIALS = 12


@pytest.fixture(scope="module")
def tune(tiny_checkpoint: Path) -> Callable[..., int]:
    """``tune(folder)``: a small run that works in the folder and writes calibration.json there."""

    def call(folder: Path, *more: str) -> int:
        return run("tune", flags_of(tiny_checkpoint, folder, *more))

    return call


def flags_of(checkpoint: Path, folder: Path, *more: str) -> list[str]:
    where = ["--work_dir", str(folder / "work"), "--output", str(folder / "calibration.json")]
    return ["--task", "t2v-demo", "--ckpt_dir", str(checkpoint), *SMALL, *where, *more]


@pytest.fixture(scope="module")
def tuned(tune: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("tuned")
    assert tune(folder) == 0
    return folder


def plans_of(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))["plans"]
    return found


def test_the_calibration_holds_verified_plans_of_one_checkpoint(tuned: Path, tiny_checkpoint: Path) -> None:
    calibration = read_calibration(tuned / "calibration.json")
    assert calibration.checkpoint == checkpoint_identity(tiny_checkpoint)["id"]
    assert calibration.command.endswith(" ".join(flags_of(tiny_checkpoint, tuned)).replace("32*32", "'32*32'"))
    assert (calibration.baseline.steps, calibration.baseline.size, calibration.baseline.frame_num) == (6, (32, 32), 9)
    assert [(plan.budget, len(plan.steps)) for plan in calibration.plans] == [(0.5, 3), (0.7, 4)]
    for plan in calibration.plans:
        assert plan.expected is not None and plan.expected.clips == 2
        assert plan.expected.psnr_worst <= plan.expected.psnr
        assert plan.tuning["trials"] == 6 and plan.tuning["clips"] == 2
        assert plan.tuning["latent_db_worst"] <= plan.tuning["latent_db"]
        assert plan.tuning["objective_db"] >= plan.tuning["start_objective_db"]
        for step in plan.steps:
            assert step.seen is not None and 0 < step.seen.norm[0] <= step.seen.norm[1]


def test_a_finished_run_computes_nothing_again(
    tuned: Path, tune: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("computed again")

    before = (tuned / "calibration.json").read_bytes()
    monkeypatch.setattr(ClipBatch, "run", never)
    monkeypatch.setattr(Verifier, "_video", never)
    assert tune(tuned, "--overwrite") == 0
    after = json.loads((tuned / "calibration.json").read_text(encoding="utf-8"))
    assert after | {"command": ""} == json.loads(before) | {"command": ""}


KILL = """
import os, signal, sys
from wan.cli.main import run
from wan.tune.search import Workshop
make, left = Workshop.make, [3]

def killed(self, sigmas):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return make(self, sigmas)

Workshop.make = killed
run("tune", sys.argv[1:])
"""


def test_killed_in_the_search_it_goes_on_to_the_same_calibration(
    tuned: Path, tune: Callable[..., int], tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = flags_of(tiny_checkpoint, tmp_path)
    # one thread, as the tests have: other sums would be rounded in another way
    killed = subprocess.run([sys.executable, "-c", KILL, *flags, "--threads", "1"], cwd=SOURCE_DIR, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "calibration.json").exists()
    journal = tmp_path / "work" / "trials.jsonl"
    assert len(journal.read_text(encoding="utf-8").splitlines()) == 2
    with journal.open("a", encoding="utf-8") as file:
        file.write('{"sigmas": [0.99')  # what a kill in the middle of a write leaves
    made: list[tuple[float, ...]] = []
    make = Workshop.make
    monkeypatch.setattr(Workshop, "make", lambda self, sigmas: made.append(sigmas) or make(self, sigmas))
    assert tune(tmp_path) == 0
    assert plans_of(tmp_path) == plans_of(tuned)
    assert len(set(made)) == len(made) <= TRIALS - 2


def test_interrupted_in_the_verification_it_keeps_scores_and_writes_no_calibration(
    tuned: Path, tune: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, calls = Verifier.scores, []

    def interrupted(self: Verifier, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return scores(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Verifier, "scores", interrupted)
        assert tune(tmp_path) == 1
    assert not (tmp_path / "calibration.json").exists()
    assert len(Journal(tmp_path / "work" / "scores.jsonl").entries) == 2
    made: list[object] = []
    video = Verifier._video
    monkeypatch.setattr(Verifier, "_video", lambda self, *args: made.append(args) or video(self, *args))
    assert tune(tmp_path) == 0
    assert len(made) == 3  # the other clip's plain run and two plans
    assert plans_of(tmp_path) == plans_of(tuned)


@pytest.mark.parametrize(
    "more", [["--negative_prompt", "blurry"], ["--sample_shift", "5"], ["--clips", "3"], ["--dtype", "bfloat16"]]
)
def test_a_folder_of_another_run_is_refused(
    more: list[str], tuned: Path, tune: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(tuned, "--overwrite", *more) == 2
    error = capsys.readouterr().err
    assert f"--work_dir {tuned / 'work'} holds another tuning run" in error and error.count("\n") == 1


def test_a_damaged_folder_is_refused(tune: Callable[..., int], tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "tune.json").write_text("{", encoding="utf-8")
    assert tune(tmp_path) == 2


def test_an_image_is_shared_by_all_clips(tmp_path: Path) -> None:
    checkpoint = materialise("i2v_A14B_unipc", tmp_path / "checkpoint")
    input_image().save(tmp_path / "image.png")
    (tmp_path / "prompts.txt").write_text("\n".join(["a", "red", "circle", "snow"]), encoding="utf-8")
    flags = flags_of(checkpoint, tmp_path, "--image", str(tmp_path / "image.png"), "--budgets", "0.5")
    flags[1] = "i2v-A14B"
    small = ["--frame_num", "5", "--trials", "2", "--prompts", str(tmp_path / "prompts.txt")]
    assert run("tune", [*flags, *small]) == 0
    calibration = read_calibration(tmp_path / "calibration.json")
    assert calibration.task == "i2v-A14B" and calibration.baseline.boundary == 0.9


def test_scores_of_several_clips() -> None:
    one = Score(psnr=30.0, motion=0.2, baseline_motion=0.1)
    other = Score(psnr=20.0, motion=0.1, baseline_motion=0.2)
    found = expected([one, other])
    assert (found.clips, found.psnr, found.psnr_worst) == (2, 25.0, 20.0)
    assert found.motion == pytest.approx(1.0)  # a ratio of sums
    assert expected([Score(psnr=30.0, motion=0.0, baseline_motion=0.0)]).motion == 1.0
