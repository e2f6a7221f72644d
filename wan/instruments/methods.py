"""The methods that a comparison measures, and the controls to hold them against: each is a variation of one job."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from wan.errors import InvalidInput
from wan.job import Job, vary
from wan.sampling.plan import Plan
from wan.sampling.price import DenoiserSize, price
from wan.settings import SamplingSettings
from wan.shortcuts import Shortcuts

# What the founding documents recommend; used by a mode that truncates when no count is given.
DEFAULT_LOW_STEPS, DEFAULT_HIGH_STEPS = 5, 3
# An unrelated video of the same prompt: what a method scores that has nothing in common with its baseline.
OTHER_SEED_SHIFT = 1000
BASELINE, OTHER_SEED, SAME_SEED = "baseline", "control_other_seed", "control_same_seed"

CACHE_FLAGS = ("cache", "cache_threshold", "cache_max_skips", "cache_retention", "cache_order", "cache_interval")
SOLVER_FLAGS = ("restart_at_switch",)
BUDGET_FLAGS = ("budget", "preset", "plan")
CFG_FLAGS = ("cfg_truncate_steps", "cfg_truncate_high_noise_steps")
HALF_FLAGS = (
    *("enable_half_frame_generation", "enable_improved_frame_completion", "frame_completion", "frame_positions"),
    *("half_frame_start", "half_frame_steps"),
)
_COUNTS = (*CFG_FLAGS, "half_frame_start")


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """One way to make the video: ``name`` is its folder, ``title`` its heading; a control only calibrates."""

    name: str
    title: str
    job: Job
    seed_shift: int = 0
    is_control: bool = False

    @property
    def plan(self) -> Plan:
        return self.job.plan

    @property
    def settings(self) -> SamplingSettings:
        return self.job.settings

    @property
    def half_frame_stride(self) -> int | None:
        """The VAE's frame stride for half-frame generation, None for every other method."""
        return self.plan.geometry.vae_stride[0] if self.settings.is_half_frame else None


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
    "cache_vs_baseline": Mode(methods=("cached",), flags=CACHE_FLAGS),
    "budget_vs_baseline": Mode(methods=("budget",), flags=BUDGET_FLAGS),
    "custom": Mode(methods=("custom",), flags=CFG_FLAGS + HALF_FLAGS + CACHE_FLAGS + SOLVER_FLAGS + BUDGET_FLAGS),
}
TITLES = {
    "baseline": "Baseline方法 (baseline)",
    "cfg_truncated": "CFG截断方法 (CFG truncation)",
    "half_frame": "帧截断方法 (half-frame generation)",
    "improved_half_frame": "改进帧截断方法 (half-frame, improved completion)",
    "combined": "组合优化方法 (CFG truncation + half-frame)",
    "cached": "缓存方法 (cache)",
    "budget": "预算方法 (budget)",
    "custom": "自定义方法 (custom)",
}


def mode_help() -> str:
    """One line per mode for --help."""
    return "; ".join(f"{name}: {' and '.join(mode.methods)}" for name, mode in MODES.items())


def complete_switches(args: argparse.Namespace) -> None:
    """Switch half-frame generation on where the mode implies it, in place, before the flags are read as shortcuts.

    ``InvalidInput`` for flags that the mode does not use.
    """
    mode = MODES[args.comparison_mode]
    given = [flag for flag in MODES["custom"].flags if _is_given(flag, getattr(args, flag))]
    alien = [flag for flag in given if flag not in mode.flags]
    if alien:
        others = [name for name, own in MODES.items() if alien[0] in own.flags]
        raise InvalidInput(
            f"--{alien[0]} has no effect in --comparison_mode {args.comparison_mode}; leave it out, or use "
            f"{' or '.join(others[-2:])}"
        )
    if args.comparison_mode == "cache_vs_baseline" and "cache" not in given:
        raise InvalidInput("--comparison_mode cache_vs_baseline needs a cache to compare; give for example --cache sea")
    if args.comparison_mode == "budget_vs_baseline" and not given:
        raise InvalidInput(
            "--comparison_mode budget_vs_baseline needs a budget to compare; give for example --budget 0.5"
        )
    if args.comparison_mode == "custom":
        if not given:
            raise InvalidInput(
                "--comparison_mode custom needs a shortcut to compare; give for example --cfg_truncate_steps 5"
            )
        return
    if "enable_half_frame_generation" in mode.flags:
        args.enable_half_frame_generation = True
    if args.comparison_mode == "improved_vs_baseline" or (args.comparison_mode == "combined_vs_baseline" and not given):
        args.enable_improved_frame_completion = True


def _is_given(flag: str, value: object) -> bool:
    """Whether a flag asks for something: a threshold of 0 does, 0 truncated steps do not."""
    return value not in (None, "none") and value is not False and not (flag in _COUNTS and value == 0)


def complete_shortcuts(mode_name: str, job: Job) -> tuple[Job, list[str]]:
    """The job with the truncation that the mode implies where none was given, and a notice that says so."""
    asked = job.request.shortcuts
    is_given = asked.cfg_truncate_steps or asked.cfg_truncate_high_noise_steps
    if mode_name == "custom" or CFG_FLAGS[0] not in MODES[mode_name].flags or is_given:
        return job, []
    high = DEFAULT_HIGH_STEPS if job.config.has_two_experts else 0
    flags = f"--cfg_truncate_steps {DEFAULT_LOW_STEPS}"
    flags += f" --cfg_truncate_high_noise_steps {high}" if high else ""
    shortcuts = replace(asked, cfg_truncate_steps=DEFAULT_LOW_STEPS, cfg_truncate_high_noise_steps=high)
    return vary(job, shortcuts=shortcuts), [f"no truncation given: {flags}, as the founding documents recommend"]


def methods_for(mode_name: str, job: Job) -> tuple[Method, ...]:
    """Baseline first, then the methods of the mode; InvalidInput for what cannot be planned."""
    asked = job.request.shortcuts
    shortcuts = {name: _own_shortcuts(name, asked) for name in MODES[mode_name].methods}
    return (
        baseline_of(job),
        *(Method(name=name, title=TITLES[name], job=vary(job, shortcuts=own)) for name, own in shortcuts.items()),
    )


def baseline_of(job: Job) -> Method:
    """The same job with every shortcut off."""
    return Method(name=BASELINE, title=TITLES[BASELINE], job=vary(job, shortcuts=Shortcuts()))


def other_seed_of(baseline: Method) -> Method:
    """Another seed of the same prompt: what a method scores that has nothing in common with its baseline."""
    title = "another seed (nothing in common)"
    return replace(baseline, name=OTHER_SEED, title=title, is_control=True, seed_shift=OTHER_SEED_SHIFT)


def controls_for(methods: Sequence[Method], size: DenoiserSize) -> tuple[Method, ...]:
    """The baseline again, another seed, and for every method the plain run of about the same FLOPs with fewer steps."""
    baseline, *others = methods
    repeat = replace(baseline, name=SAME_SEED, title="the baseline again (noise floor)", is_control=True)
    fewer = {steps_of_equal_cost(method.plan, baseline, size): None for method in others}
    return (
        repeat,
        other_seed_of(baseline),
        *(fewer_steps_of(baseline, steps) for steps in fewer if steps < len(baseline.plan.steps)),
    )


def steps_of_equal_cost(plan: Plan, baseline: Method, size: DenoiserSize) -> int:
    """How many plain steps cost about as many FLOPs as ``plan``."""
    tag = price(plan, size)
    return max(1, round(len(baseline.plan.steps) * tag.planned.flops / tag.plain.flops))


def fewer_steps_of(baseline: Method, steps: int) -> Method:
    """The plain run with fewer steps, under the name that ``fewer_steps_name`` gives it."""
    return Method(
        name=fewer_steps_name(steps),
        title=f"plain, {steps} steps (equal cost)",
        job=vary(baseline.job, sample_steps=steps),
        is_control=True,
    )


def fewer_steps_name(steps: int) -> str:
    return f"control_{steps}_steps"


def _own_shortcuts(name: str, given: Shortcuts) -> Shortcuts:
    """What a method keeps of the shortcuts that the flags ask for together."""
    if name == "cfg_truncated":
        off = Shortcuts()
        window = {name: getattr(off, name) for name in ("frame_positions", "half_frame_start", "half_frame_steps")}
        return replace(given, frame_completion=None, **window)
    if name in ("half_frame", "improved_half_frame"):
        return replace(given, cfg_truncate_steps=0, cfg_truncate_high_noise_steps=0)
    return given
