"""What one run samples with: frozen values, resolved from flags or arguments, before any plan or weight exists."""

from dataclasses import dataclass

from wan.configs import TaskConfig
from wan.limits import MAX_SCALE, MAX_SHIFT, refuse_absurd_steps, refuse_infinite
from wan.shortcuts import Shortcuts, shortcut_values


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingSettings(Shortcuts):
    """Everything that decides the plan, apart from the video's shape: the official settings, and the shortcuts.

    ``boundary`` None means a single expert, which is guided by ``low_noise_guidance_scale``. ``curve``: whose curve
    MagCache takes (``wan.sampling.mag_curves``), the task's.
    """

    solver: str
    steps: int
    shift: float
    boundary: float | None
    low_noise_guidance_scale: float
    high_noise_guidance_scale: float
    curve: str | None = None


def guidance_scales(value: float | tuple[float, float]) -> tuple[float, float]:
    """The official ``guide_scale`` (one number, or (low noise, high noise)) as (low noise, high noise)."""
    if isinstance(value, int | float):
        return float(value), float(value)
    low, high = value
    return float(low), float(high)


def default_settings(config: TaskConfig) -> SamplingSettings:
    """The official settings of a task: every shortcut off."""
    low, high = guidance_scales(config.sample_guide_scale)
    return SamplingSettings(
        solver="unipc",
        steps=config.sample_steps,
        shift=config.sample_shift,
        boundary=config.boundary,
        low_noise_guidance_scale=low,
        high_noise_guidance_scale=high,
        curve=config.name,
    )


def settings_from(
    config: TaskConfig,
    *,
    solver: str,
    steps: int,
    shift: float,
    guide_scale: float | tuple[float, float],
    shortcuts: Shortcuts,
    has_image: bool = False,
) -> SamplingSettings:
    """The arguments of ``generate``, official and ours, as settings; ``InvalidInput`` for numbers out of all bounds."""
    low, high = guidance_scales(guide_scale)
    refuse_infinite("--sample_guide_scale", (low, high), most=MAX_SCALE)
    refuse_infinite("--sample_shift", (shift,), most=MAX_SHIFT)
    refuse_absurd_steps(steps, name="--sample_steps")
    return SamplingSettings(
        solver=solver,
        steps=steps,
        shift=shift,
        boundary=config.boundary,
        low_noise_guidance_scale=low,
        high_noise_guidance_scale=high,
        curve=f"{config.name}-image" if has_image and config.image == "optional" else config.name,
        **shortcut_values(shortcuts),
    )
