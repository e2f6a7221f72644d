"""The search on an objective whose best plan is known, candidates, and the journal of trials."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.toy import toy_plan
from wan.runs.journal import Journal
from wan.sampling.plan import Expert, Seen
from wan.sampling.schedule import FITTED
from wan.sampling.update import LinearUpdate
from wan.tune.search import LAST_MOVE, MIN_SIGMA, candidate, coordinate_search, moved, thinned, thinning_trials
from wan.tune.trials import Trial, TrialLog, robust

START, BEST = (1.0, 0.9, 0.7, 0.3), (1.0, 0.95, 0.6, 0.2)


def logit(sigma: float) -> float:
    return math.log(sigma / (1 - sigma))


def trial(sigmas: tuple[float, ...]) -> Trial:
    """Best at ``BEST``, by the distance in logit(sigma)."""
    miss = sum((logit(a) - logit(b)) ** 2 for a, b in zip(sigmas[1:], BEST[1:], strict=True))
    return Trial(sigmas=sigmas, updates=(), seen=(), quality=(30 - 10 * miss,) * 3)


def counted(most: int) -> tuple[Callable[[tuple[float, ...]], Trial | None], list[Trial]]:
    made: list[Trial] = []

    def make(sigmas: tuple[float, ...]) -> Trial | None:
        if len(made) == most:
            return None
        made.append(trial(sigmas))
        return made[-1]

    return make, made


def test_it_finds_the_best_sigmas() -> None:
    (make, made), accepted = counted(500), []
    best = coordinate_search(trial(START), make, accept=accepted.append)
    assert len(made) < 100
    assert best.sigmas[0] == 1.0
    for found, known in zip(best.sigmas[1:], BEST[1:], strict=True):
        assert abs(logit(found) - logit(known)) < LAST_MOVE
    objectives = [one.objective for one in accepted]
    assert objectives == sorted(objectives) and accepted[-1] is best


@pytest.mark.parametrize("most", [0, 1, 7])
def test_it_ends_with_its_trials(most: int) -> None:
    make, made = counted(most)
    best = coordinate_search(trial(START), make, accept=lambda one: None)
    assert len(made) == most
    assert best.objective == max([trial(START).objective, *(one.objective for one in made)])


USEFUL = {0.9: 5.0, 0.8: 1.0, 0.7: 9.0, 0.6: 2.0, 0.5: 7.0}


def useful(sigmas: tuple[float, ...]) -> Trial:
    """Every step is worth what ``USEFUL`` says."""
    return Trial(sigmas=sigmas, updates=(), seen=(), quality=(sum(USEFUL.get(sigma, 0.0) for sigma in sigmas),))


@pytest.mark.parametrize(
    ("count", "kept"), [(5, (1.0, 0.9, 0.7, 0.6, 0.5)), (4, (1.0, 0.9, 0.7, 0.5)), (2, (1.0, 0.7)), (1, (1.0,))]
)
def test_a_plan_loses_the_step_that_matters_least_again_and_again(count: int, kept: tuple[float, ...]) -> None:
    made: list[Trial] = []

    def make(sigmas: tuple[float, ...]) -> Trial:
        made.append(useful(sigmas))
        return made[-1]

    best = thinned((1.0, *USEFUL), count, make)
    assert best is not None and best.sigmas == kept
    assert len(made) == thinning_trials(6, count)


def test_thinning_gives_up_when_the_trials_are_used_up() -> None:
    make, made = counted(4)
    assert thinned((*BEST, 0.1), 3, lambda sigmas: useful(sigmas) if make(BEST) else None) is None
    assert len(made) == 4
    assert thinned(BEST, len(BEST), make) is None


def test_a_flat_objective_ends_too() -> None:
    def make(sigmas: tuple[float, ...]) -> Trial:
        return Trial(sigmas=sigmas, updates=(), seen=(), quality=(1.0,))

    start = make(START)
    assert coordinate_search(start, make, accept=lambda one: None) is start


def test_a_move_passes_no_neighbour_and_comes_not_near_0() -> None:
    sigmas = moved(START, 1, 0.3)
    assert sigmas is not None and sigmas[1] > START[1] and (sigmas[0], *sigmas[2:]) == (1.0, 0.7, 0.3)
    assert moved(START, 1, -2.0) is None and moved(START, 2, 2.0) is None
    assert moved((1.0, 0.5, MIN_SIGMA * 1.01), 2, -0.3) is None


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        ([30.0] * 6, 30.0),
        # mean 20, the two worst 10 and 12
        ([10.0, 12.0, 20.0, 24.0, 26.0, 28.0], 0.5 * 20 + 0.5 * 11),
        # of 24 clips the worst four count
        ([0.0, 1.0, 2.0, 3.0, *[30.0] * 20], 0.5 * 606 / 24 + 0.5 * 1.5),
        ([5.0], 5.0),
    ],
)
def test_the_objective_is_part_mean_part_worst(quality: list[float], expected: float) -> None:
    assert robust(quality) == pytest.approx(expected)
    assert Trial(sigmas=(), updates=(), seen=(), quality=tuple(quality)).objective == pytest.approx(expected)


def test_a_candidate_keeps_experts_timesteps_and_scales_of_the_plain_plan() -> None:
    plain = toy_plan(steps=8)
    sigmas = (plain.steps[0].sigma, plain.steps[2].sigma, 0.9, 0.8, 0.3)
    plan = candidate(plain, sigmas)
    assert (plan.solver, plan.plain_steps, plan.sigmas) == (FITTED, 8, (*sigmas, 0.0))
    assert plan.timesteps == (plain.timesteps[0], plain.timesteps[2], 900, 800, 300)
    assert [step.expert for step in plan.steps] == [Expert.HIGH_NOISE] * 3 + [Expert.LOW_NOISE] * 2
    assert [step.guidance.label for step in plan.steps] == ["cfg 2"] * 3 + ["cfg 1.5"] * 2


def full_trial(sigma: float) -> Trial:
    return Trial(
        sigmas=(1.0, sigma),
        updates=(
            LinearUpdate(noise=1 / 3, denoised=(0.1,), differences=(1e-17,)),
            LinearUpdate(noise=0.2, denoised=(0.1, 2 / 7), differences=(0.0, -1.5)),
        ),
        seen=(Seen(norm=(0.1, 0.7), motion=(0.0, 1 / 9)), Seen(norm=(0.1, 0.2), motion=(0.3, 0.4))),
        quality=(29.123456789012345, 1e-3),
    )


def test_a_trial_comes_back_as_it_was(tmp_path: Path) -> None:
    log = TrialLog(tmp_path / "trials.jsonl")
    assert log.made((1.0, 0.1)) is None
    log.keep(full_trial(0.1))
    assert TrialLog(tmp_path / "trials.jsonl").made((1.0, 0.1)) == log.made((1.0, 0.1)) == full_trial(0.1)


@pytest.mark.parametrize("cut", [1, 40, -30, -2, -1])
def test_a_cut_last_line_is_dropped_and_spoils_no_other(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "trials.jsonl"
    log = TrialLog(path)
    for sigma in (0.1, 0.2):
        log.keep(full_trial(sigma))
    first, second = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text(first + second[:cut], encoding="utf-8")
    resumed = TrialLog(path)
    assert resumed.made((1.0, 0.1)) == full_trial(0.1)
    assert (resumed.made((1.0, 0.2)) is not None) is (cut == -1)  # only the end of the line is missing
    resumed.keep(full_trial(0.3))
    again = TrialLog(path)
    assert again.made((1.0, 0.1)) == full_trial(0.1) and again.made((1.0, 0.3)) == full_trial(0.3)


def test_trials_without_weights_are_made_again(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_text(json.dumps({"sigmas": [1.0, 0.1], "quality": [1.0]}) + "\n", encoding="utf-8")
    assert TrialLog(path).made((1.0, 0.1)) is None


def test_a_journal_refuses_what_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        Journal(tmp_path / "journal.jsonl").append({"growth": math.nan})
    assert not (tmp_path / "journal.jsonl").exists()
