"""What half-frame generation can be asked for: completions, positions, its window of steps, and what contradicts."""

from collections.abc import Mapping

from wan.errors import InvalidInput

FRAME_COMPLETIONS = ("repeat", "improved", "interpolate", "follow")
FRAME_POSITIONS: Mapping[str, int] = {"consecutive": 1, "spread": 2}
"""Temporal distance of the kept frames in the eyes of the network: at 0, 1, 2, ... or at 0, 2, 4, ..."""
DEFAULT_FRAME_POSITIONS = "consecutive"  # what the founding documents describe; "spread" is closer to the baseline
HALF_FRAME, IMPROVED = "enable_half_frame_generation", "enable_improved_frame_completion"
"""The two switches of the founding documents."""


def refuse_bad_half_frame(*, completion: str | None, positions: str, start: int, steps: int | None) -> None:
    """``InvalidInput`` for a window that cannot be, and for anything without half-frame generation."""
    for flag, count in (("--half_frame_start", start), ("--half_frame_steps", steps or 0)):
        if count < 0:
            raise InvalidInput(f"{flag} {count} must be 0 or a number of steps")
    asked = {
        f"--frame_positions {positions}": positions != DEFAULT_FRAME_POSITIONS,
        f"--half_frame_start {start}": start > 0,
        f"--half_frame_steps {steps}": steps is not None,
    }
    for flag, is_given in asked.items():
        if is_given and completion is None:
            raise InvalidInput(f"{flag} needs --{HALF_FRAME}; give both")
    if completion == "follow" and not start:
        raise InvalidInput(
            "--frame_completion follow needs --half_frame_start of at least 1, because it takes up the frames where "
            "they were left; give both, or use interpolate"
        )


def completion_name(*, half_frame: bool, improved: bool, name: str | None) -> str | None:
    """The completion that the flags ask for, ``name`` over ``improved``; None when half-frame generation is off."""
    if (improved or name) and not half_frame:
        switch = f"--frame_completion {name}" if name else f"--{IMPROVED}"
        raise InvalidInput(f"{switch} needs --{HALF_FRAME}; give both")
    if improved and name not in (None, "improved"):
        raise InvalidInput(f"--frame_completion {name} and --{IMPROVED} contradict each other; give one of them")
    if not half_frame:
        return None
    return name or ("improved" if improved else "repeat")


def positions_name(name: str | None, *, half_frame: bool) -> str:
    """The positions that the flags ask for; naming them without half-frame generation is refused."""
    if name and not half_frame:
        raise InvalidInput(f"--frame_positions {name} needs --{HALF_FRAME}; give both")
    return name or DEFAULT_FRAME_POSITIONS


def half_frame_label(values: Mapping[str, object]) -> str:
    """What results call it, from the fields as ``run.json`` holds them; older runs lack some."""
    positions = values.get("frame_positions", DEFAULT_FRAME_POSITIONS)
    start, steps = values.get("half_frame_start"), values.get("half_frame_steps")
    window = (f", after {start} steps" if start else "") + (f", for {steps} steps" if steps is not None else "")
    return f"half-frame ({values['frame_completion']}, {positions} positions{window})"
