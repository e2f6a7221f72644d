"""What one run samples with: frozen values, resolved from flags or arguments, before any plan or weight exists."""

from dataclasses import dataclass

from wan.configs import TaskConfig
from wan.errors import InvalidInput

DEFAULT_TRUNCATION_MODE = "decay"  # the closest to the same-seed baseline: docs/cfg-truncation.md
DEFAULT_FRAME_POSITIONS = (
    "consecutive"  # what the seeds describe; "spread" is closer to the baseline: docs/half-frame.md
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingSettings:
    """Everything that decides the plan, apart from the video's shape.

    ``boundary`` None means a single expert, which is guided by ``low_noise_guidance_scale``.
    ``frame_completion`` None means that every stage works on all frames; a name switches half-frame generation on, and
    ``frame_positions`` says where in time its stages believe the kept frames to be.
    """

    solver: str
    steps: int
    shift: float
    boundary: float | None
    low_noise_guidance_scale: float
    high_noise_guidance_scale: float
    cfg_truncate_steps: int = 0
    cfg_truncate_high_noise_steps: int = 0
    cfg_truncate_mode: str = DEFAULT_TRUNCATION_MODE
    frame_completion: str | None = None
    frame_positions: str = DEFAULT_FRAME_POSITIONS


def guidance_scales(value: float | tuple[float, float]) -> tuple[float, float]:
    """The official ``guide_scale`` (one number, or (low noise, high noise)) as (low noise, high noise)."""
    if isinstance(value, int | float):
        return float(value), float(value)
    low, high = value
    return float(low), float(high)


def frame_completion_name(*, half_frame: bool, improved: bool, name: str | None = None) -> str | None:
    """The completion that the flags ask for, ``name`` over ``improved``; None when half-frame generation is off."""
    if (improved or name) and not half_frame:
        flag = f"--frame_completion {name}" if name else "--enable_improved_frame_completion"
        raise InvalidInput(f"{flag} needs --enable_half_frame_generation; give both")
    if improved and name not in (None, "improved"):
        raise InvalidInput(
            f"--frame_completion {name} and --enable_improved_frame_completion contradict each other; give one of them"
        )
    if not half_frame:
        return None
    return name or ("improved" if improved else "repeat")


def frame_positions_name(name: str | None, *, half_frame: bool) -> str:
    """Where the kept frames stand, as the flag asks for, or the default."""
    if name and not half_frame:
        raise InvalidInput(f"--frame_positions {name} needs --enable_half_frame_generation; give both")
    return name or DEFAULT_FRAME_POSITIONS


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
    )


def settings_from(
    config: TaskConfig,
    *,
    sample_solver: str,
    sampling_steps: int,
    shift: float,
    guide_scale: float | tuple[float, float],
    cfg_truncate_steps: int = 0,
    cfg_truncate_high_noise_steps: int = 0,
    cfg_truncate_mode: str = DEFAULT_TRUNCATION_MODE,
    enable_half_frame_generation: bool = False,
    enable_improved_frame_completion: bool = False,
    frame_completion: str | None = None,
    frame_positions: str | None = None,
) -> SamplingSettings:
    """The arguments of ``generate``, official and ours, as settings."""
    low, high = guidance_scales(guide_scale)
    return SamplingSettings(
        solver=sample_solver,
        steps=sampling_steps,
        shift=shift,
        boundary=config.boundary,
        low_noise_guidance_scale=low,
        high_noise_guidance_scale=high,
        cfg_truncate_steps=cfg_truncate_steps,
        cfg_truncate_high_noise_steps=cfg_truncate_high_noise_steps,
        cfg_truncate_mode=cfg_truncate_mode,
        frame_completion=frame_completion_name(
            half_frame=enable_half_frame_generation, improved=enable_improved_frame_completion, name=frame_completion
        ),
        frame_positions=frame_positions_name(frame_positions, half_frame=enable_half_frame_generation),
    )
