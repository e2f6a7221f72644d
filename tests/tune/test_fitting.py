"""Fits and shared beginnings: known least-squares answers, a fit that follows the plain run, fewer forwards."""

from pathlib import Path

import pytest
import torch

from tests.toy import ToyExperts, run_toy, toy_batch, toy_contexts, toy_noise, toy_plan
from wan.sampling.guidance import Branch
from wan.tune import fitting
from wan.tune.fitting import FittingSolver, Kept, inner_products, least_squares
from wan.tune.lockstep import InTurns
from wan.tune.recording import record
from wan.tune.search import Workshop, candidate, latent_quality


def test_least_squares_finds_the_combination() -> None:
    a, b = (torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert least_squares([a, b], 2.0 * a - 0.5 * b, ridge=1e-12) == pytest.approx([2.0, -0.5], abs=1e-6)


def test_inner_products_do_not_depend_on_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = [torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    whole = inner_products(tensors)
    flat = torch.stack(tensors).flatten(1).double()
    assert torch.allclose(whole, flat @ flat.T)
    monkeypatch.setattr(fitting, "_PART", 5)
    assert torch.allclose(inner_products(tensors), whole)


def test_a_feature_of_zeros_gets_no_weight() -> None:
    a = torch.randn(5, generator=torch.Generator().manual_seed(0))
    assert least_squares([a, torch.zeros(5)], 3.0 * a, ridge=1e-12) == pytest.approx([3.0, 0.0], abs=1e-6)


def test_equal_features_share_instead_of_fighting() -> None:
    a = torch.randn(5, generator=torch.Generator().manual_seed(0))
    assert least_squares([a, a], a) == pytest.approx([0.5, 0.5], abs=1e-3)


def test_a_fit_of_all_steps_follows_the_plain_run(tmp_path: Path) -> None:
    plain, batch = toy_plan(), toy_batch()
    recording = record(batch, plain, tmp_path / "recording.safetensors", tick=lambda: None)
    sigmas = tuple(step.sigma for step in plain.steps)
    trial = Workshop(batch, plain, recording, kept=Kept(9)).make(sigmas)
    assert min(trial.quality) > 50
    few = Workshop(batch, plain, recording, kept=Kept(9)).make((sigmas[0], sigmas[3], sigmas[6]))
    assert min(few.quality) < min(trial.quality)


def test_the_stored_weights_make_what_the_fit_made(tmp_path: Path) -> None:
    plain, batch = toy_plan(), toy_batch()
    recording = record(batch, plain, tmp_path / "recording.safetensors", tick=lambda: None)
    sigmas = tuple(plain.steps[index].sigma for index in (0, 2, 5))
    solver = FittingSolver(recording)
    made = batch.run(candidate(plain, sigmas), solver=solver)
    plan = candidate(plain, sigmas, solver.updates)
    again = run_toy(plan, toy_noise(3), toy_contexts(3))
    assert torch.allclose(made, again, atol=1e-5)
    assert latent_quality(again, recording.final) == pytest.approx(latent_quality(made, recording.final), abs=1e-2)


def test_shared_beginnings_give_the_same_trials_with_fewer_forwards(tmp_path: Path) -> None:
    plain = toy_plan()
    recording = record(toy_batch(), plain, tmp_path / "recording.safetensors", tick=lambda: None)
    base = tuple(plain.steps[index].sigma for index in (0, 2, 4, 6))
    plans = [base, (*base[:3], base[3] * 0.9), (*base[:2], base[2] * 0.98, base[3]), base]
    experts, kept = ToyExperts(), Kept(48)
    shared = Workshop(toy_batch(experts=experts), plain, recording, kept=kept)
    together = [shared.make(sigmas) for sigmas in plans]
    alone = [Workshop(toy_batch(), plain, recording, kept=Kept(48)).make(sigmas) for sigmas in plans]
    assert together == alone
    clips, branches = 3, 2
    # of 16 steps: all of the first plan, the last of the second, the last two of the third, none of the fourth
    assert experts.forwards == kept.forwards == clips * branches * (4 + 1 + 2 + 0)


def test_the_prefix_that_was_not_used_longest_goes() -> None:
    kept = Kept(2)
    one = {Branch.COND: torch.zeros(1)}
    kept.put((1.0,), one)
    kept.put((0.9,), one)
    assert kept.get((1.0,)) is one
    kept.put((0.8,), one)
    assert kept.get((0.9,)) is None and kept.get((1.0,)) is one and kept.get((0.8,)) is one


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_clips_in_turns_are_the_whole_batch(at_once: int) -> None:
    plan = toy_plan()
    assert torch.equal(toy_batch(5, at_once=at_once).run(plan), toy_batch(5, at_once=5).run(plan))


def test_in_turns_splits_every_branch_alike() -> None:
    step, contexts = toy_plan().steps[0], toy_contexts(5)
    experts = ToyExperts()
    found = InTurns(experts, at_once=2).predict(step, toy_noise(5), torch.full((5,), 9), contexts)
    whole = ToyExperts().predict(step, toy_noise(5), torch.full((5,), 9), contexts)
    assert all(torch.equal(found[branch], whole[branch]) for branch in Branch)
    assert experts.forwards == 10
