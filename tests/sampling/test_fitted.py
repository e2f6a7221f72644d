"""Fitted steps: every linear multistep solver has their form, and they are executed as the equation says."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.toy import run_toy, toy_contexts, toy_noise, toy_plan
from wan.sampling.guidance import Branch
from wan.sampling.observers import Observer, StepEvent
from wan.sampling.plan import Plan, excerpt
from wan.sampling.schedule import FITTED
from wan.sampling.solvers import LinearMultistep, make_solver
from wan.sampling.table import format_plan, plan_record
from wan.sampling.update import LinearUpdate
from wan.tune.fitting import least_squares


class Recorder(Observer):
    """The guided estimates, the scaled differences, and what followed each step."""

    def __init__(self) -> None:
        self.features: list[Tensor] = []
        self.results: list[Tensor] = []
        self.weights: list[LinearUpdate] = []
        self._known: list[Tensor] = []

    def on_step_end(self, event: StepEvent) -> None:
        self._known = self._known or [event.latents_in]
        delta = event.velocities[Branch.COND] - event.velocities[Branch.UNCOND]
        self._known += [event.latents_in - event.step.sigma * event.velocity, event.step.sigma * delta]
        noise, *weights = least_squares(self._known, event.latents_out, ridge=1e-14)
        self.weights.append(LinearUpdate(noise=noise, denoised=tuple(weights[::2]), differences=tuple(weights[1::2])))


def fitted(plan: Plan, weights: list[LinearUpdate]) -> Plan:
    steps = tuple(replace(step, update=update) for step, update in zip(plan.steps, weights, strict=True))
    return replace(plan, solver=FITTED, steps=steps)


@pytest.mark.parametrize("solver", ["unipc", "dpm++", "euler"])
def test_a_fit_on_all_steps_is_the_solver_itself(solver: str) -> None:
    plan, noise, contexts = toy_plan(solver=solver), toy_noise(4), toy_contexts(4)
    recorder = Recorder()
    plain = run_toy(plan, noise, contexts, observers=[recorder])
    again = run_toy(fitted(plan, recorder.weights), noise, contexts)
    assert torch.allclose(again, plain, atol=1e-4)


@pytest.mark.parametrize("solver", ["unipc", "dpm++", "euler"])
def test_the_weights_of_a_solver_are_those_of_the_exact_solution(solver: str) -> None:
    plan, recorder = toy_plan(solver=solver), Recorder()
    run_toy(plan, toy_noise(4), toy_contexts(4), observers=[recorder])
    for step, update in zip(plan.steps, recorder.weights, strict=True):
        # x(s') has s' parts of the noise (of unit sigma; the official UniPC grid starts just below) and 1 - s' of x0
        assert update.noise == pytest.approx(step.sigma_next / plan.steps[0].sigma, abs=2e-3)
        assert sum(update.denoised) == pytest.approx(1 - update.noise, abs=5e-3)


def test_a_step_is_the_sum_that_the_equation_says() -> None:
    generator = torch.Generator().manual_seed(1)
    plan = toy_plan(steps=3)
    weights = [
        LinearUpdate(
            noise=0.5 - 0.1 * index,
            denoised=tuple(0.3 + 0.1 * j for j in range(index + 1)),
            differences=tuple(-0.2 * j for j in range(index + 1)),
        )
        for index in range(3)
    ]
    solver = LinearMultistep(fitted(plan, weights))
    noise = latents = torch.randn(2, 4, 3, 2, 4, generator=generator)
    x0: list[Tensor] = []
    scaled: list[Tensor] = []
    for step, update in zip(fitted(plan, weights).steps, weights, strict=True):
        velocity, delta = (torch.randn(latents.shape, generator=generator) for _ in range(2))
        x0.append(latents - step.sigma * velocity)
        scaled.append(step.sigma * delta)
        expected = update.noise * noise
        for j in range(step.index + 1):
            expected = expected + update.denoised[j] * x0[j] + update.differences[j] * scaled[j]
        latents = solver.step(latents, velocity, step, delta)
        assert torch.allclose(latents, expected, atol=1e-6)
        assert torch.equal(solver.denoised(), x0[-1])


def test_a_step_that_measured_no_difference_has_none() -> None:
    plan = fitted(toy_plan(steps=1), [LinearUpdate(noise=0.0, denoised=(1.0,), differences=(5.0,))])
    latents, velocity = torch.ones(1, 4, 3, 2, 4), torch.full((1, 4, 3, 2, 4), 0.5)
    step = plan.steps[0]
    assert torch.allclose(make_solver(plan).step(latents, velocity, step, None), latents - step.sigma * velocity)


def test_mapped_history_equals_a_run_that_always_had_the_frames() -> None:
    plan, recorder = toy_plan(), Recorder()
    run_toy(plan, toy_noise(2), toy_contexts(2), observers=[recorder])
    plan = fitted(plan, recorder.weights)

    def double(frames: Tensor) -> Tensor:
        return frames.repeat_interleave(2, dim=2)

    short, half, whole = toy_noise(1), make_solver(plan), make_solver(plan)
    full = double(short)
    for step in plan.steps:
        if step.index == 3:
            short = double(short)
            half.map_frames(double)
        short = half.step(short, 0.7 * short, step, 0.1 * short)
        full = whole.step(full, 0.7 * full, step, 0.1 * full)
    assert torch.equal(short, full)


def test_a_restart_and_a_corrector_are_columns_of_the_plan() -> None:
    plan, noise, contexts = toy_plan(), toy_noise(1), toy_contexts(1)

    def run(**marks: bool) -> Tensor:
        steps = tuple(replace(step, **marks) if step.index == 4 else step for step in plan.steps)
        return run_toy(replace(plan, steps=steps), noise, contexts)

    plain = run()
    results = [run(restarts=True), run(corrects=False), run(restarts=True, corrects=False)]
    assert all(not torch.allclose(one, plain, atol=1e-6) for one in results)
    # without a last sample there is nothing to correct
    assert torch.equal(results[0], results[2])


def test_one_weight_for_every_step() -> None:
    with pytest.raises(ValueError, match="2 weights of denoised estimates and 1 of differences"):
        LinearUpdate(noise=0.0, denoised=(1.0, 0.0), differences=(0.0,))


def test_an_excerpt_of_a_fitted_plan_runs_by_itself() -> None:
    plan, recorder = toy_plan(), Recorder()
    run_toy(plan, toy_noise(1), toy_contexts(1), observers=[recorder])
    some = excerpt(fitted(plan, recorder.weights), plan.steps[5:7])
    assert torch.isfinite(run_toy(some, toy_noise(1), toy_contexts(1))).all()
    assert excerpt(plan, plan.steps).solver == "unipc"


def test_the_record_holds_all_that_a_step_does_and_the_table_stays_readable() -> None:
    plain, recorder = toy_plan(), Recorder()
    run_toy(plain, toy_noise(1), toy_contexts(1), observers=[recorder])
    plan = fitted(plain, recorder.weights)
    plan = replace(
        plan, plain_steps=20, steps=(*plan.steps[:-1], replace(plan.steps[-1], restarts=True, corrects=False))
    )
    record = plan_record(plan)
    last = record["steps"][-1]
    assert (record["solver"], record["plain_steps"]) == ("fitted", 20)
    assert LinearUpdate(**last["update"]) == plan.steps[-1].update
    assert (last["restarts"], last["corrects"], record["steps"][0]["restarts"]) == (True, False, False)
    text = format_plan(plan)
    assert "8 steps of fitted weights, for 20 plain ones" in text and "cfg 1.5, restart, no corrector" in text
    assert max(map(len, text.splitlines())) < 120
