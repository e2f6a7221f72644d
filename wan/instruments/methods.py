"""What --comparison_mode compares: the settings of every side, and the controls to hold them against."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.options import Options
from wan.sampling.plan import Plan
from wan.sampling.policies import make_plan
from wan.sampling.price import DenoiserSize, price
from wan.settings import SamplingSettings

# What the seeds' documents recommend; used by a mode that truncates when no count is given.
DEFAULT_LOW_STEPS, DEFAULT_HIGH_STEPS = 5, 3
# An unrelated video of the same prompt: what a method scores that has nothing in common with its baseline.
OTHER_SEED_SHIFT = 1000

CFG_FLAGS = ("cfg_truncate_steps", "cfg_truncate_high_noise_steps")
HALF_FLAGS = ("enable_half_frame_generation", "enable_improved_frame_completion", "frame_completion", "frame_positions")


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One way to make the video: ``name`` is its folder, ``title`` its heading; a control only calibrates."""

    name: str
    title: str
    settings: SamplingSettings
    plan: Plan
    seed_shift: int = 0
    is_control: bool = False

    @property
    def is_half_frame(self) -> bool:
        return self.settings.frame_completion is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Mode:
    """The methods of one comparison mode and the flags that it lets a user set."""

    methods: tuple[str, ...]
    flags: tuple[str, ...]


MODES: Mapping[str, Mode] = {
    "cfg_vs_baseline": Mode(methods=("cfg_truncated",), flags=CFG_FLAGS),
    "half_vs_baseline": Mode(methods=("half_frame",), flags=HALF_FLAGS),
    "improved_vs_baseline": Mode(methods=("improved_half_frame",), flags=HALF_FLAGS),
    "combined_vs_baseline": Mode(methods=("combined",), flags=CFG_FLAGS + HALF_FLAGS),
    "cfg_vs_half": Mode(methods=("cfg_truncated", "half_frame"), flags=CFG_FLAGS + HALF_FLAGS),
    "custom": Mode(methods=("custom",), flags=CFG_FLAGS + HALF_FLAGS),
}
TITLES = {
    "baseline": "Baseline方法 (baseline)",
    "cfg_truncated": "CFG截断方法 (CFG truncation)",
    "half_frame": "帧截断方法 (half-frame generation)",
    "improved_half_frame": "改进帧截断方法 (half-frame, improved completion)",
    "combined": "组合优化方法 (CFG truncation + half-frame)",
    "custom": "自定义方法 (custom)",
}


def mode_help() -> str:
    """One line per mode for --help."""
    return "; ".join(f"{name}: {' and '.join(mode.methods)}" for name, mode in MODES.items())


def complete_flags(args: argparse.Namespace) -> list[str]:
    """Fill in what the mode implies, in place; returns notices. InvalidInput for flags that it does not use."""
    mode = MODES[args.comparison_mode]
    alien = [flag for flag in CFG_FLAGS + HALF_FLAGS if getattr(args, flag) and flag not in mode.flags]
    if alien:
        raise InvalidInput(
            f"--{alien[0]} has no effect in --comparison_mode {args.comparison_mode}; leave it out, or use "
            "combined_vs_baseline or custom"
        )
    given = [flag for flag in CFG_FLAGS + HALF_FLAGS if getattr(args, flag)]
    if args.comparison_mode == "custom":
        if not given:
            raise InvalidInput(
                "--comparison_mode custom needs a shortcut to compare; give for example --cfg_truncate_steps 5"
            )
        return []
    notices = []
    if "cfg_truncate_steps" in mode.flags and not any(flag in CFG_FLAGS for flag in given):
        args.cfg_truncate_steps = DEFAULT_LOW_STEPS
        flags = f"--cfg_truncate_steps {DEFAULT_LOW_STEPS}"
        if WAN_CONFIGS[args.task].has_two_experts:
            args.cfg_truncate_high_noise_steps = DEFAULT_HIGH_STEPS
            flags += f" --cfg_truncate_high_noise_steps {DEFAULT_HIGH_STEPS}"
        notices.append(f"no truncation given: {flags}, as the seeds' documents recommend")
    if "enable_half_frame_generation" in mode.flags:
        args.enable_half_frame_generation = True
    if args.comparison_mode == "improved_vs_baseline" or (args.comparison_mode == "combined_vs_baseline" and not given):
        args.enable_improved_frame_completion = True
    return notices


def sides_for(mode_name: str, options: Options) -> tuple[Side, ...]:
    """Baseline first, then the methods of the mode; InvalidInput for what cannot be planned."""
    plain = replace(options.settings, cfg_truncate_steps=0, cfg_truncate_high_noise_steps=0, frame_completion=None)
    methods = [_side(name, _method_settings(name, options.settings), options) for name in MODES[mode_name].methods]
    return (_side("baseline", plain, options), *methods)


def controls_for(sides: Sequence[Side], size: DenoiserSize, options: Options) -> tuple[Side, ...]:
    """The baseline again, another seed, and for every method the plain run of about the same FLOPs with fewer steps."""
    baseline, *methods = sides
    repeat = replace(baseline, name="control_same_seed", title="the baseline again (noise floor)", is_control=True)
    other = replace(
        baseline,
        name="control_other_seed",
        title="another seed (nothing in common)",
        is_control=True,
        seed_shift=OTHER_SEED_SHIFT,
    )
    fewer = {steps_of_equal_cost(side.plan, baseline, size): None for side in methods}
    return (
        repeat,
        other,
        *(_fewer_steps(steps, baseline, options) for steps in fewer if steps < len(baseline.plan.steps)),
    )


def steps_of_equal_cost(plan: Plan, baseline: Side, size: DenoiserSize) -> int:
    """How many plain steps cost about as many FLOPs as ``plan``."""
    tag = price(plan, size)
    return max(1, round(len(baseline.plan.steps) * tag.planned.flops / tag.plain.flops))


def _fewer_steps(steps: int, baseline: Side, options: Options) -> Side:
    settings = replace(baseline.settings, steps=steps)
    return Side(
        name=f"control_{steps}_steps",
        title=f"plain, {steps} steps (equal cost)",
        settings=settings,
        plan=make_plan(settings, options.geometry),
        is_control=True,
    )


def _method_settings(name: str, given: SamplingSettings) -> SamplingSettings:
    """What the method keeps of the settings that the flags ask for together."""
    if name == "cfg_truncated":
        return replace(given, frame_completion=None)
    if name in ("half_frame", "improved_half_frame"):
        return replace(given, cfg_truncate_steps=0, cfg_truncate_high_noise_steps=0)
    return given


def _side(name: str, settings: SamplingSettings, options: Options) -> Side:
    return Side(name=name, title=TITLES[name], settings=settings, plan=make_plan(settings, options.geometry))
