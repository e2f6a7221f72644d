"""The whole sampler in one function on plain diffusers: two experts, guidance, CFG truncation, half-frame generation.

    python examples/one_file.py          writes outputs/one_file.mp4; prints the largest difference from the package

Read ``sample`` to see what ``wan/sampling`` computes for a text; it needs nothing of ``wan``. The package adds what a
function cannot have: the plan and its price before the first forward, refusals, records, offloading, other tasks.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from diffusers import UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
CHECKPOINT = ROOT / "checkpoints" / "t2v-demo"
PROMPT = "a red circle moving right on a blue background"
TEXT_LEN = 512  # positions that the experts attend to: the text, then zeros
NOISE_SHAPE = (16, 13, 8, 8)  # 49 frames of 64x64 pixels behind a VAE of strides 4, 8, 8

Completion = Literal["interpolate", "repeat"]

sys.path.insert(0, str(ROOT))  # the package is imported below, where the function is compared with it


@torch.no_grad()
def sample(
    high_noise: WanTransformer3DModel,
    low_noise: WanTransformer3DModel,
    noise: Tensor,
    cond: Tensor,
    uncond: Tensor,
    *,
    steps: int = 20,
    shift: float = 12.0,
    scales: tuple[float, float] = (3.0, 4.0),
    truncate: tuple[int, int] = (0, 0),
    half_frame: Completion | None = None,
) -> Tensor:
    """Latents (1, C, L, h, w) from noise of that shape and text embeddings (1, T, D); pairs are (low, high noise).

    Flow matching: x = (1 - sigma) x0 + sigma eps, and an expert predicts v = eps - x0, so that x0 = x - sigma v.
    """
    # g from 0.999 down to 0, sigma = shift g / (1 + (shift - 1) g) (Esser et al. 2024, eq. 23), t = int(1000 sigma)
    solver = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)
    solver.set_timesteps(sigmas=np.linspace(float(np.float32(0.999)), 0.0, steps + 1)[:-1])
    solver.set_begin_index(0)  # count the steps: two of them may share a t
    sigmas, timesteps = solver.sigmas.tolist(), solver.timesteps.to(noise.device)
    switch = int((timesteps >= 0.875 * 1000).sum())  # the step at which the low-noise expert takes over
    x = noise[:, :, ::2] if half_frame else noise  # half-frame generation: latent frames 0, 2, 4, ... come first
    stages = (high_noise, scales[1], truncate[1], 0, switch), (low_noise, scales[0], truncate[0], switch, steps)
    for expert, s, truncated, begin, end in stages:
        delta, sigma_measured = torch.zeros_like(x), 1.0  # D, forgotten at the switch
        for i in range(begin, end):
            v_c = expert(x, timesteps[i : i + 1], cond, return_dict=False)[0]
            if i < end - truncated:  # guidance (Ho & Salimans 2022, eq. 6): v_u + s D with D = v_c - v_u
                v_u = expert(x, timesteps[i : i + 1], uncond, return_dict=False)[0]
                delta, sigma_measured = v_c - v_u, sigmas[i]
                v = v_u + s * delta
            else:  # v_u + s D = v_c + (s - 1) D: without v_u, and the last measured D fades as the noise does
                v = v_c + (s - 1) * (sigmas[i] / sigma_measured) ** 2 * delta
            x = solver.step(v, timesteps[i], x, return_dict=False)[0]
        if x.shape[2] < noise.shape[2]:  # the switch: all frames from now on; f // 2 is the kept frame at or before f
            f, past = torch.arange(noise.shape[2], device=x.device), solver.model_outputs  # x0 of the last two steps
            if half_frame == "repeat":  # with the solver's memory: as if the frames had been doubled from the start
                x, solver.last_sample = x[:, :, f // 2], solver.last_sample[:, :, f // 2]
                solver.model_outputs = [x0 if x0 is None else x0[:, :, f // 2] for x0 in past]
            else:  # missing frames: the mean of both neighbours' x0 under their own noise; the solver starts anew
                after = ((f + 1) // 2).clamp(max=x.shape[2] - 1)
                before = (f // 2).maximum(after.clamp(max=1))  # not frame 0: it stands for one pixel frame, not four
                filled = (1 - sigmas[end]) * (past[-1][:, :, before] + past[-1][:, :, after]) / 2 + sigmas[end] * noise
                filled[:, :, ::2] = x  # the kept frames stay
                x, solver.last_sample, solver.lower_order_nums = filled, None, 0
    return x


def inputs(
    pipeline: WanPipeline, prompt: str, *, seed: int
) -> tuple[WanTransformer3DModel, WanTransformer3DModel, Tensor, Tensor, Tensor]:
    """What ``sample`` starts from: the experts, the seed's noise for all frames, embeddings of prompt and no text."""
    noise = torch.randn(NOISE_SHAPE, generator=torch.Generator().manual_seed(seed))
    cond, uncond = pipeline.encode_prompt(prompt, "", max_sequence_length=TEXT_LEN)
    return pipeline.transformer, pipeline.transformer_2, noise[None], cond, uncond


@torch.no_grad()
def decode(pipeline: WanPipeline, latents: Tensor) -> Tensor:
    """Latents (1, C, L, h, w) to a video (1, 3, N, H, W) in [-1, 1]."""
    config = pipeline.vae.config
    mean, std = (torch.tensor(values).view(-1, 1, 1, 1) for values in (config.latents_mean, config.latents_std))
    return pipeline.vae.decode(latents * std + mean, return_dict=False)[0]


def package_latents(
    prompt: str,
    *,
    seed: int,
    steps: int = 20,
    truncate: tuple[int, int] = (0, 0),
    half_frame: Completion | None = None,
) -> Tensor:
    """Latents (1, C, L, h, w) of the same request by the package."""
    import wan
    from wan.configs import WAN_CONFIGS
    from wan.sampling.geometry import geometry_for
    from wan.sampling.policies import make_plan
    from wan.settings import default_settings

    config = WAN_CONFIGS["t2v-demo"]
    settings = replace(
        default_settings(config),
        steps=steps,
        cfg_truncate_steps=truncate[0],
        cfg_truncate_high_noise_steps=truncate[1],
        frame_completion=half_frame,
    )
    pipeline = wan.WanT2V(config, str(CHECKPOINT), device="cpu")
    plan = make_plan(settings, geometry_for(config, size=(64, 64), frame_num=config.frame_num))
    return pipeline.sample(plan, pipeline.encode(prompt), seed=seed)[None]


def main() -> None:
    """A video with both shortcuts, and how far its latents are from the package's."""
    from wan.runs.video import write_video

    pipeline = WanPipeline.from_pretrained(CHECKPOINT)
    latents = sample(*inputs(pipeline, PROMPT, seed=0), truncate=(5, 3), half_frame="interpolate")
    path = Path("outputs") / "one_file.mp4"
    write_video(path, decode(pipeline, latents)[0], fps=16, metadata={"prompt": PROMPT})
    print(f"{path}: {PROMPT}")
    expected = package_latents(PROMPT, seed=0, truncate=(5, 3), half_frame="interpolate")
    print(f"largest difference from the package's latents: {(latents - expected).abs().max():.1e}")


if __name__ == "__main__":
    main()
