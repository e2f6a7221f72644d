"""Every recorded run through the entry classes, in both layouts: latents of all steps and the video (1e-4)."""

from typing import Any

import pytest
import torch
from torch import Tensor

import wan
from tests.goldens import RUNS, TOLERANCE, input_image, recorded, tensors, worst
from tests.parity.conftest import Materialised
from wan.models.denoiser import batched
from wan.models.engine import Engine
from wan.sampling.observers import Observer, StepEvent

LAYOUTS = [("official", 1), ("official", 3), ("diffusers", 1), ("diffusers", 3)]


class Recorder(Observer):
    """Every step's velocity and result."""

    def __init__(self) -> None:
        self.velocities: list[Tensor] = []
        self.latents: list[Tensor] = []

    def on_step_end(self, event: StepEvent) -> None:
        self.velocities.append(event.velocity[0])
        self.latents.append(event.latents_out[0])


def arguments(run: str) -> dict[str, Any]:
    """A recorded run as arguments of ``generate``."""
    asked = recorded(run)
    scale = asked["guide_scale"]
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in asked["args"].items()}
    return (
        given
        | ({"img": input_image()} if asked["image"] else {})
        | {
            "input_prompt": asked["prompt"],
            "shift": asked["shift"],
            "sample_solver": asked["solver"],
            "sampling_steps": asked["steps"],
            "guide_scale": tuple(scale) if isinstance(scale, list) else scale,
            "n_prompt": asked["negative"],
            "seed": asked["seed"],
        }
    )


@pytest.mark.parametrize(("layout", "shards"), LAYOUTS)
@pytest.mark.parametrize("run", RUNS)
def test_recorded_run(materialised: Materialised, run: str, layout: str, shards: int) -> None:
    config, golden, recorder = RUNS[run].config, tensors(run), Recorder()
    entry = getattr(wan, config.entry)
    pipeline = entry(config, str(materialised(run, layout, shards)), device="cpu", dtype="float32")
    video = pipeline.generate(**arguments(run), observers=[recorder])
    assert worst(torch.stack(recorder.velocities), golden["noise_pred"]) < TOLERANCE
    assert worst(recorder.latents[-1], golden["final_latent"]) < TOLERANCE
    assert worst(video, golden["video"]) < TOLERANCE


@pytest.mark.parametrize("run", RUNS)
def test_models_that_stay_loaded_give_the_same_video(materialised: Materialised, run: str) -> None:
    config = RUNS[run].config
    pipeline = getattr(wan, config.entry)(config, str(materialised(run)), device="cpu", dtype="float32")
    dropped = pipeline.generate(**arguments(run))
    for _ in range(2):
        assert torch.equal(pipeline.generate(**arguments(run), offload_model=False), dropped)
    assert worst(dropped, tensors(run)["video"]) < TOLERANCE


@pytest.mark.parametrize("run", RUNS)
def test_both_branches_in_one_forward(materialised: Materialised, run: str) -> None:
    config = RUNS[run].config
    entry = getattr(wan, config.entry)
    pipeline = entry(config, str(materialised(run)), device="cpu", dtype="float32", engine=Engine(evaluate=batched))
    assert worst(pipeline.generate(**arguments(run)), tensors(run)["video"]) < TOLERANCE


@pytest.mark.parametrize("run", ["t2v_A14B_unipc", "i2v_A14B_unipc"])
def test_every_shortcut_runs_on_two_experts(materialised: Materialised, run: str) -> None:
    config, recorder = RUNS[run].config, Recorder()
    pipeline = getattr(wan, config.entry)(config, str(materialised(run)), device="cpu", dtype="float32")
    video = pipeline.generate(
        **arguments(run),
        cfg_truncate_steps=1,
        cfg_truncate_high_noise_steps=1,
        enable_half_frame_generation=True,
        enable_improved_frame_completion=True,
        observers=[recorder],
    )
    high, steps = recorded(run)["n_high_noise_steps"], recorded(run)["steps"]
    assert [latents.shape[1] for latents in recorder.latents] == [2] * high + [3] * (steps - high)
    assert pipeline.forward_counter.total == 2 * steps - 2
    assert torch.isfinite(video).all() and video.shape == tensors(run)["video"].shape


def test_guidance_can_be_truncated_on_an_image_run_of_one_expert(materialised: Materialised) -> None:
    run, recorder = "ti2v_5B_i2v_unipc", Recorder()
    pipeline = wan.WanTI2V(RUNS[run].config, str(materialised(run)), device="cpu", dtype="float32")
    pipeline.generate(**arguments(run), cfg_truncate_steps=2, observers=[recorder])
    assert pipeline.forward_counter.total == 10
    image_latents = tensors(run)["image_cond_latent"]
    assert all(worst(latents[:, :1], image_latents) < TOLERANCE for latents in recorder.latents)
