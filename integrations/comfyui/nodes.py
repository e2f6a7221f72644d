"""Three nodes for ComfyUI: load a checkpoint, sample with shortcuts or a budget, decode to pictures.

They hold no logic of their own: what is set in a node becomes flags of the command `generate`, which the package reads,
checks and refuses with its own sentences. An empty field, or 0, is a flag that is not given.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from wan.budgets import PRESETS
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.job import Job, open_job_checkpoint, prepare, vary
from wan.limits import MAX_SEED
from wan.loading.models import check_weights
from wan.machine import DTYPE_NAMES, OFFLOADS
from wan.request import Request, parse_request
from wan.sampling.schedule import SOLVER_NAMES
from wan.session import Session

CATEGORY = "Wan2.2 Shortcut"
NOT_GIVEN = ("", 0, 0.0)
LOADED = ("task", "ckpt_dir", "image", "machine")
"""Fields of a request that a loaded checkpoint keeps."""
SAMPLED = (
    *("prompt", "negative_prompt", "seed", "size", "frame_num"),
    *("sample_solver", "sample_steps", "sample_shift", "sample_guide_scale", "shortcuts"),
)
"""Fields of a request that one loaded checkpoint can have anew in every run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What the first node hands to the second."""

    job: Job
    session: Session


@dataclass(frozen=True, kw_only=True, slots=True)
class Latents:
    """What the second node hands to the third: ``latents`` (C, F, h, w) and the session whose VAE decodes them."""

    session: Session
    latents: torch.Tensor


class LoadCheckpoint:
    """Opens a checkpoint once; ComfyUI keeps it between runs."""

    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES: ClassVar = ("WAN_SESSION",)
    RETURN_NAMES: ClassVar = ("session",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:
        return {
            "required": {"task": (sorted(WAN_CONFIGS), {"default": "t2v-demo"}), "ckpt_dir": _text()},
            "optional": {
                "image": _text(),
                "device": _text(),
                "dtype": (["", *DTYPE_NAMES],),
                "offload": (["", *OFFLOADS],),
                "flags": _text(multiline=True),
            },
        }

    def load(self, *, flags: str = "", **given: Any) -> tuple[Loaded]:
        job = prepare(_asked(given, flags, allowed=LOADED, other="samples"))
        checkpoint = open_job_checkpoint(job)
        check_weights(checkpoint)
        return (Loaded(job=job, session=Session(job, checkpoint=checkpoint)),)


class Sample:
    """One run of a loaded checkpoint."""

    CATEGORY = CATEGORY
    FUNCTION = "sample"
    RETURN_TYPES: ClassVar = ("WAN_LATENTS",)
    RETURN_NAMES: ClassVar = ("latents",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:
        return {
            "required": {
                "session": ("WAN_SESSION",),
                "prompt": _text(multiline=True),
                "seed": ("INT", {"default": 0, "min": 0, "max": MAX_SEED}),
            },
            "optional": {
                "negative_prompt": _text(multiline=True),
                "size": _text(),
                "frame_num": ("INT", {"default": 0, "min": 0, "max": 4093}),
                "sample_solver": (list(SOLVER_NAMES),),
                "sample_steps": ("INT", {"default": 0, "min": 0, "max": 1000}),
                "sample_shift": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1000.0, "step": 0.1}),
                "sample_guide_scale": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1000.0, "step": 0.1}),
                "budget": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.05}),
                "preset": (["", *PRESETS],),
                "flags": _text(multiline=True),
            },
        }

    def sample(self, *, session: Loaded, seed: int, flags: str = "", **given: Any) -> tuple[Latents]:
        asked = replace(_asked(given, flags, allowed=SAMPLED, other="loads"), seed=seed)
        job = vary(session.job, **{name: getattr(asked, name) for name in SAMPLED})
        made = session.session.sample(job.plan, prompt=job.prompt, seed=seed, negative_prompt=job.negative_prompt)
        return (Latents(session=session.session, latents=made.latents),)


class Decode:
    """Latents to ComfyUI's pictures (N, H, W, 3), float32 in [0, 1]; its own nodes save them."""

    CATEGORY = CATEGORY
    FUNCTION = "decode"
    RETURN_TYPES: ClassVar = ("IMAGE",)
    RETURN_NAMES: ClassVar = ("images",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:
        return {"required": {"latents": ("WAN_LATENTS",)}}

    def decode(self, *, latents: Latents) -> tuple[torch.Tensor]:
        return (torch.from_numpy(latents.session.decode(latents.latents)),)


def _text(**how: Any) -> tuple[str, dict[str, Any]]:
    return "STRING", {"default": "", "multiline": False} | how


def _asked(given: Mapping[str, Any], flags: str, *, allowed: tuple[str, ...], other: str) -> Request:
    """What is set in a node, as flags of the same names, and its further flags; InvalidInput for one that belongs to
    the node that ``other`` names."""
    argv = [f"--{name}={value}" for name, value in given.items() if value not in NOT_GIVEN]
    asked, plain = parse_request([*argv, *shlex.split(flags)]), Request()
    for name in Request.__dataclass_fields__:
        if name not in allowed and getattr(asked, name) != getattr(plain, name):
            raise InvalidInput(
                f"{flags!r} sets {name}, which this node does not have: give it to the node that {other}"
            )
    return asked


NODE_CLASS_MAPPINGS = {
    "WanShortcutLoad": LoadCheckpoint,
    "WanShortcutSample": Sample,
    "WanShortcutDecode": Decode,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "WanShortcutLoad": "Wan2.2 Shortcut: load",
    "WanShortcutSample": "Wan2.2 Shortcut: sample",
    "WanShortcutDecode": "Wan2.2 Shortcut: decode",
}
