"""Several videos at once, as tuning makes them: each is the one that it is alone, also with one image for all."""

import pytest
import torch

import wan
from tests.goldens import RUNS, input_image, recorded
from tests.parity.conftest import Materialised
from wan.job import prepare
from wan.request import Request
from wan.sampling.guidance import Branch
from wan.sampling.observers import Observer, StepEvent

PROMPTS = ("a red circle", "snow")


class Shapes(Observer):
    """What every step evaluated."""

    def __init__(self) -> None:
        self.batches: set[int] = set()

    def on_step_end(self, event: StepEvent) -> None:
        self.batches |= {len(event.hidden_states), len(event.timestep), len(event.latents_out)}


@pytest.mark.parametrize("run", RUNS)
def test_a_batch_is_its_videos(materialised: Materialised, run: str) -> None:
    config = RUNS[run].config
    pipeline = getattr(wan, config.entry)(config, str(materialised(run)), device="cpu", dtype="float32")
    request = Request(task=config.name, prompt="x", size=(64, 32), frame_num=5, sample_steps=4)
    job = prepare(request, needs_image=False)
    image = input_image() if recorded(run)["image"] else None
    conditioning = pipeline.condition(image, job.geometry)
    contexts = [pipeline.encode(prompt) for prompt in PROMPTS]
    alone = [
        pipeline.sample(job.plan, context, seed=seed, conditioning=conditioning)
        for seed, context in enumerate(contexts)
    ]
    shapes = Shapes()
    together = pipeline.sample_batch(
        job.plan,
        {branch: torch.cat([context[branch] for context in contexts]) for branch in Branch},
        noise=torch.stack([pipeline.noise(job.geometry, seed) for seed in range(2)]),
        conditioning=conditioning,
        observers=[shapes],
    )
    assert shapes.batches == {2}
    assert torch.allclose(together, torch.stack(alone), atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-2)
