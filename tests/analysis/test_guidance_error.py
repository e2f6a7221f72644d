"""Guidance error from inner products against the same quantities computed on whole tensors."""

from dataclasses import replace

import numpy as np
import pytest

from wan.analysis.guidance_error import (
    StepGuidance,
    best_weight,
    final_error,
    recommend,
    reuse_error,
    reuse_errors_by_age,
    truncation_error,
)
from wan.analysis.guidance_report import analyse, format_report
from wan.sampling.guidance import TRUNCATION_MODES, Branch, ClassifierFree, ReusedDelta, SingleBranch
from wan.sampling.schedule import sigma_grid

SCALE = 4.0
GRID = sigma_grid("unipc", steps=20, shift=12.0)


def make_steps(differences: list[np.ndarray], experts: list[str], scale: float = SCALE) -> list[StepGuidance]:
    """Rows as the probe writes them, from given differences (one array per step)."""
    steps: list[StepGuidance] = []
    for index, (difference, expert) in enumerate(zip(differences, experts, strict=True)):
        older = [d for d, e in zip(differences[:index], experts[:index], strict=True) if e == expert][::-1][:8]
        previous = differences[index - 1] if index else None
        steps.append(
            StepGuidance(
                index=index,
                sigma=GRID.sigmas[index],
                sigma_next=GRID.sigmas[index + 1],
                timestep=GRID.timesteps[index],
                expert=expert,
                latent_frames=13,
                guidance="cfg 4",
                scale=scale,
                truncated=False,
                mse=float(np.mean(difference**2)),
                products=tuple(float(np.mean(difference * old)) for old in older),
                change_mse=None if previous is None else float(np.mean((difference - previous) ** 2)),
                cosine=None,
                velocity_ms=2.0,
                x0_ms=1.0,
                used_error=0.0,
            )
        )
    return steps


@pytest.fixture
def differences() -> list[np.ndarray]:
    """A difference that shrinks and turns a little at every step."""
    generator = np.random.default_rng(0)
    walk = [generator.standard_normal(500)]
    for _ in range(19):
        walk.append(0.9 * walk[-1] + 0.2 * generator.standard_normal(500))
    return walk


EXPERTS = ["high_noise"] * 13 + ["low_noise"] * 7


def test_reuse_error_and_best_weight(differences: list[np.ndarray]) -> None:
    steps = make_steps(differences, EXPERTS)
    for position, age in ((12, 1), (12, 8), (19, 6)):
        new, old = differences[position], differences[position - age]
        assert reuse_error(steps, position, age) == pytest.approx(np.mean((new - old) ** 2) / np.mean(new**2))
        assert best_weight(steps, position, age) == pytest.approx(np.linalg.lstsq(old[:, None], new)[0][0])


@pytest.mark.parametrize("mode", TRUNCATION_MODES)
def test_truncation_error_is_that_of_the_guidance_itself(mode: str, differences: list[np.ndarray]) -> None:
    steps, position, age = make_steps(differences, EXPERTS), 10, 3
    uncond = np.random.default_rng(1).standard_normal(500)
    velocities = {Branch.UNCOND: uncond, Branch.COND: uncond + differences[position]}
    guidance = TRUNCATION_MODES[mode](SCALE, steps[position].sigma / steps[position - age].sigma)
    used, _ = guidance.combine(velocities, differences[position - age])
    wanted, _ = ClassifierFree(SCALE).combine(velocities, None)
    assert truncation_error(steps, position, age, guidance) == pytest.approx(np.mean((used - wanted) ** 2))


def test_ages_stay_within_the_expert(differences: list[np.ndarray]) -> None:
    steps = make_steps(differences, EXPERTS)
    assert {age: len(errors) for age, errors in reuse_errors_by_age(steps, "low_noise").items()} == {
        1: 6,
        2: 5,
        3: 4,
        4: 3,
        5: 2,
        6: 1,
    }
    assert max(reuse_errors_by_age(steps, "high_noise")) == 8


def test_final_error_of_a_constant_difference_by_hand() -> None:
    steps = make_steps([np.full(10, 0.1)] * 20, EXPERTS, scale=3.0)
    assert final_error(steps, "low_noise", 5, "reuse") == 0.0
    # cond leaves (s - 1) D = 0.2 out over the sigmas from step 16 to the end, against an x0 of RMS 1
    assert final_error(steps, "low_noise", 5, "cond") == pytest.approx(0.2 * GRID.sigmas[15])
    assert final_error(steps, "low_noise", 5, "uncond") == pytest.approx(0.3 * GRID.sigmas[15])


def test_recommendation_stops_at_the_tolerance() -> None:
    steps = make_steps([np.full(10, 0.1)] * 20, EXPERTS, scale=3.0)
    allowed = [0.2 * GRID.sigmas[20 - count] for count in range(1, 7)]
    advice = recommend(steps, "low_noise", "cond", tolerance=allowed[2] + 1e-6)
    assert advice.steps == 3
    assert advice.errors == pytest.approx(allowed)
    assert recommend(steps, "low_noise", "cond", tolerance=0.01).steps == 0
    assert recommend(steps, "high_noise", "reuse").steps == 8


def test_a_model_that_ignores_its_text_costs_nothing_to_truncate() -> None:
    steps = make_steps([np.zeros(10)] * 20, EXPERTS)
    assert recommend(steps, "low_noise", "decay").steps == 6
    assert reuse_error(steps, 5, 1) == 0.0


def test_findings_follow_the_run(differences: list[np.ndarray]) -> None:
    settling = make_steps([d * 0.8**i for i, d in enumerate(differences)], EXPERTS)
    assert [finding.confirmed for finding in analyse(settling, mode="decay").findings] == [True, True, True]
    growing = [d * 1.3**i for i, d in enumerate(differences)]
    alternating = make_steps([d * (-1) ** i for i, d in enumerate(growing)], EXPERTS)
    assert [finding.confirmed for finding in analyse(alternating, mode="decay").findings] == [False, False, False]
    single = analyse(make_steps(differences, ["single"] * 20), mode="decay").findings
    assert [finding.confirmed for finding in single] == [True, None, True]
    assert analyse(make_steps(differences[:1], EXPERTS[:1]), mode="decay").findings[0].confirmed is None


def test_report_marks_switch_and_truncated_steps(differences: list[np.ndarray]) -> None:
    steps = make_steps(differences, EXPERTS)
    steps[19] = replace(steps[19], truncated=True, used_error=0.5, guidance="cond only")
    text = format_report(analyse(steps, mode="decay"), title="a prompt")
    assert text.count("---- expert switch ----") == 1
    assert "cond only  (truncated)" in text and "20: 2.500e-01" in text
    assert "N (--cfg_truncate_steps) =" in text and "M (--cfg_truncate_high_noise_steps) =" in text
    assert max(map(len, text.splitlines())) < 200


def test_single_branch_guidance_needs_no_history(differences: list[np.ndarray]) -> None:
    steps = make_steps(differences, EXPERTS)
    assert truncation_error(steps, 0, 1, SingleBranch(Branch.COND)) == pytest.approx(9 * steps[0].mse)
    assert truncation_error(steps, 1, 1, ReusedDelta(Branch.UNCOND, SCALE)) == pytest.approx(
        SCALE**2 * steps[1].change_mse
    )
