"""Every shortcut in one place: its fields, its flags, its keyword arguments, and how it is called in results.

A new shortcut is a field here, and a policy that turns it into columns of the plan (``wan.sampling.policies``).
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypedDict

from wan.budgets import PRESETS, refuse_bad_budget
from wan.cache_knobs import ALL_KNOBS, CACHE_KNOBS, refuse_bad_knobs
from wan.errors import InvalidInput
from wan.flags import Groups, add_flags, argv_of, flag, values_of
from wan.half_frame import (
    DEFAULT_FRAME_POSITIONS,
    HALF_FRAME,
    IMPROVED,
    completion_name,
    half_frame_label,
    positions_name,
    refuse_bad_half_frame,
)
from wan.half_frame import FRAME_COMPLETIONS as FRAME_COMPLETIONS
from wan.half_frame import FRAME_POSITIONS as FRAME_POSITIONS
from wan.sampling.guidance import TRUNCATION_MODES

DEFAULT_TRUNCATION_MODE = "decay"  # the closest to the same-seed baseline, by measurement

GROUP = "shortcuts (all off by default)"
_SWITCHES = {"frame_completion": HALF_FRAME}
_BUDGET = ("budget", "preset", "plan")


def _refuse_unknown(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise InvalidInput(f"{name} {value!r} is unknown; choose one of {', '.join(known)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortcuts:
    """What is left out of a run. ``frame_completion`` None: half-frame generation is off, every step has all frames.

    Raises ``InvalidInput`` for a value that no shortcut has.
    """

    cfg_truncate_steps: int = flag(
        0,
        "skip one of the two guidance passes in the last N steps",
        group=GROUP,
        read=int,
        metavar="N",
    )
    cfg_truncate_high_noise_steps: int = flag(
        0, "skip one in the last M steps of the high-noise expert", group=GROUP, read=int, metavar="M"
    )
    cfg_truncate_mode: str = flag(
        DEFAULT_TRUNCATION_MODE,
        "what stands in for the skipped pass (%(default)s): uncond and cond use the other pass alone; reuse and "
        "reuse_uncond add the last measured difference of both, decay the same difference fading with the noise",
        group=GROUP,
        choices=tuple(TRUNCATION_MODES),
    )
    frame_completion: str | None = flag(
        None,
        "how half-frame generation fills the other frames: repeat (the default) repeats the frame before; improved "
        "takes its denoised estimate, interpolate the mean of both neighbours', under the position's own noise; follow "
        "moves the frame's own last estimate as its neighbours' have moved (needs --half_frame_start)",
        group=GROUP,
        choices=FRAME_COMPLETIONS,
    )
    frame_positions: str = flag(
        DEFAULT_FRAME_POSITIONS,
        "where in time the high-noise expert sees half of the frames: consecutive, at 0, 1, 2 (the default), or "
        "spread, at their own positions 0, 2, 4, which keeps the speed of motion",
        group=GROUP,
        choices=tuple(FRAME_POSITIONS),
    )
    half_frame_start: int = flag(
        0,
        "the first N steps have all frames (%(default)s), and only those after them half",
        group=GROUP,
        read=int,
        metavar="N",
    )
    half_frame_steps: int | None = flag(
        None,
        "so many steps have half of the frames; default: all up to the expert switch",
        group=GROUP,
        read=int,
        metavar="M",
    )

    cache: str = flag(
        "none",
        "skip most of the network where it has changed little: mag by a published curve and taylor at fixed intervals, "
        "both decided in the plan; sea and first_block by what they see while sampling",
        group=GROUP,
        choices=tuple(CACHE_KNOBS),
    )
    cache_threshold: float | None = flag(
        None,
        "how much may change before a step is computed: sea (0.25), mag (0.06) and first_block (0.1); 0 skips nothing",
        group=GROUP,
        read=float,
        metavar="E",
    )
    cache_max_skips: int | None = flag(
        None, "at most so many skipped steps in a row: sea, mag (2)", group=GROUP, read=int, metavar="K"
    )
    cache_retention: float | None = flag(
        None,
        "share of an expert's first steps that is never skipped: mag (published: 0.4 for T2V, 0.1 for I2V, 0.2 for 5B)",
        group=GROUP,
        read=float,
        metavar="R",
    )
    cache_order: int | None = flag(
        None, "order of the forecast: sea 0 or 1 (1), taylor 0 to 2 (1)", group=GROUP, read=int, metavar="ORDER"
    )
    cache_interval: int | None = flag(
        None, "compute every N-th step: taylor (2); 1 skips nothing", group=GROUP, read=int, metavar="N"
    )

    restart_at_switch: bool = flag(
        False,
        "the solver forgets the high-noise expert's steps at the expert switch: with fewer --sample_steps the video "
        "stays much nearer to the plain one",
        group=GROUP,
    )

    budget: float | None = flag(
        None,
        "cost at most this share of the plain run's forwards, by the best plan known for the checkpoint; 1: the plain "
        "run itself",
        group=GROUP,
        read=float,
        metavar="SHARE",
    )
    preset: str | None = flag(
        None,
        "a budget by name: " + ", ".join(f"{name} {share:g}" for name, share in PRESETS.items()),
        group=GROUP,
        choices=tuple(PRESETS),
    )
    plan: Path | None = flag(
        None,
        "a calibration that wan tune made, instead of the checkpoint's own",
        group=GROUP,
        read=Path,
        metavar="FILE",
    )

    def __post_init__(self) -> None:
        for name in ("cfg_truncate_steps", "cfg_truncate_high_noise_steps"):
            if (count := getattr(self, name)) < 0:
                raise InvalidInput(f"--{name} {count} must be 0 (off) or the number of last steps to truncate")
        _refuse_unknown("--cfg_truncate_mode", self.cfg_truncate_mode, tuple(TRUNCATION_MODES))
        _refuse_unknown("--frame_completion", self.frame_completion, FRAME_COMPLETIONS)
        _refuse_unknown("--frame_positions", self.frame_positions, tuple(FRAME_POSITIONS))
        refuse_bad_half_frame(
            completion=self.frame_completion,
            positions=self.frame_positions,
            start=self.half_frame_start,
            steps=self.half_frame_steps,
        )
        _refuse_unknown("--cache", self.cache, tuple(CACHE_KNOBS))
        refuse_bad_knobs(self.cache, {knob: getattr(self, f"cache_{knob}") for knob in ALL_KNOBS})
        _refuse_unknown("--preset", self.preset, tuple(PRESETS))
        manual = [
            one for one in fields(Shortcuts) if one.name not in _BUDGET and getattr(self, one.name) != one.default
        ]
        refuse_bad_budget(
            budget=self.budget,
            preset=self.preset,
            plan=self.plan,
            others=[_SWITCHES.get(m.name, m.name) for m in manual],
        )

    @property
    def asked_budget(self) -> float | None:
        """The budget, by number or by name."""
        return self.budget if self.preset is None else PRESETS[self.preset]

    @property
    def is_half_frame(self) -> bool:
        return self.frame_completion is not None


BEST_HALF_FRAME = Shortcuts(frame_completion="interpolate", frame_positions="spread")
"""The best measured setting of half-frame generation."""


class ShortcutArgs(TypedDict, total=False):
    """The keyword arguments of ``generate`` that switch shortcuts on, under the names of their flags."""

    cfg_truncate_steps: int
    cfg_truncate_high_noise_steps: int
    cfg_truncate_mode: str
    enable_half_frame_generation: bool
    enable_improved_frame_completion: bool
    frame_completion: Literal["repeat", "improved", "interpolate", "follow"] | None
    frame_positions: Literal["consecutive", "spread"] | None
    half_frame_start: int
    half_frame_steps: int | None
    cache: Literal["none", "sea", "mag", "first_block", "taylor"]
    cache_threshold: float | None
    cache_max_skips: int | None
    cache_retention: float | None
    cache_order: int | None
    cache_interval: int | None
    restart_at_switch: bool
    budget: float | None
    preset: Literal["exact", "balanced", "fast", "max"] | None
    plan: Path | str | None


def add_shortcut_flags(groups: Groups) -> None:
    """The flags of every shortcut, with the two switches of the founding documents."""
    group = groups[GROUP]
    group.add_argument(
        f"--{HALF_FRAME}",
        action="store_true",
        help="the high-noise expert works on every second latent frame; the others are filled at the expert switch",
    )
    group.add_argument(f"--{IMPROVED}", action="store_true", help="the same as --frame_completion improved")
    add_flags(groups, Shortcuts)
    # unset and set to the default are told apart: naming positions without half-frame generation is refused
    group.set_defaults(frame_positions=None)


def shortcuts_of(args: argparse.Namespace) -> Shortcuts:
    """Parsed flags as shortcuts; ``InvalidInput`` for flags that contradict each other."""
    switches = {name: getattr(args, name) for name in (HALF_FRAME, IMPROVED)}
    return shortcuts_from(values_of(Shortcuts, args) | switches)


def shortcuts_from(given: Mapping[str, Any]) -> Shortcuts:
    """The arguments of ``ShortcutArgs`` as shortcuts; ``InvalidInput`` for contradictions."""
    values = dict(given)
    half, improved = values.pop(HALF_FRAME, False), values.pop(IMPROVED, False)
    completion, positions = values.pop("frame_completion", None), values.pop("frame_positions", None)
    if values.get("plan") is not None:
        values["plan"] = Path(values["plan"])
    return Shortcuts(
        **values,
        frame_completion=completion_name(half_frame=half, improved=improved, name=completion),
        frame_positions=positions_name(positions, half_frame=half),
    )


def shortcuts_as_argv(shortcuts: Shortcuts) -> list[str]:
    """The flags that ``shortcuts_of`` reads back as the same shortcuts."""
    switch = [f"--{HALF_FRAME}"] if shortcuts.is_half_frame else []
    return switch + argv_of(shortcuts)


def shortcut_values(shortcuts: Shortcuts) -> dict[str, Any]:
    """The fields by name: of the shortcuts alone, whatever class adds to them."""
    return {one.name: getattr(shortcuts, one.name) for one in fields(Shortcuts)}


def is_budget(shortcuts: Shortcuts) -> bool:
    """Whether a budget, a preset or a plan decides, and no single shortcut may be given beside it."""
    return any(getattr(shortcuts, name) is not None for name in _BUDGET)


def shortcut_label(values: Mapping[str, Any]) -> str:
    """What results call the shortcuts of a run, from the fields as ``run.json`` holds them; 'none' when all are off."""
    parts = []
    low, high = (values.get(name) or 0 for name in ("cfg_truncate_steps", "cfg_truncate_high_noise_steps"))
    if low or high:
        parts.append(f"CFG truncation {low} + {high} ({values.get('cfg_truncate_mode')})")
    if values.get("frame_completion"):
        parts.append(half_frame_label(values))
    if (cache := values.get("cache", "none")) != "none":  # older runs have none
        knobs = {knob.replace("_", " "): values.get(f"cache_{knob}") for knob in CACHE_KNOBS[cache]}
        given = ", ".join(f"{knob} {value:g}" for knob, value in knobs.items() if value is not None)
        parts.append(f"{cache} cache" + (f" ({given})" if given else ""))
    if values.get("restart_at_switch"):
        parts.append("solver restart at the switch")
    if plan := values.get("plan"):
        parts.append(f"plan {plan}")
    if share := values.get("budget") or PRESETS.get(values.get("preset") or ""):
        parts.append(f"budget {share:g}")
    return "; ".join(parts) or "none"


def shortcut_notices(shortcuts: Shortcuts) -> list[str]:
    """What a user should know of the setting before it is run."""
    if shortcuts.frame_completion != "repeat" or shortcuts.frame_positions != DEFAULT_FRAME_POSITIONS:
        return []
    better = " ".join(argv_of(BEST_HALF_FRAME))
    return [
        "half-frame generation with repeated frames at consecutive positions is what the founding documents describe, "
        f"and the worst setting measured; {better} is the best"
    ]
