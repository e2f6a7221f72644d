"""Policies: how settings become a plan. Each one decides a column of the plan; none of them runs during sampling."""

from collections.abc import Sequence
from itertools import pairwise

from wan.errors import InvalidInput
from wan.sampling.cache_policies import plan_cache
from wan.sampling.cache_settings import cache_settings
from wan.sampling.geometry import Geometry, half_latent_frames
from wan.sampling.guidance import (
    TRUNCATION_MODES,
    Branch,
    ClassifierFree,
    Guidance,
    SingleBranch,
)
from wan.sampling.plan import Expert, Plan, Step
from wan.sampling.schedule import NUM_TRAIN_TIMESTEPS, SOLVER_NAMES, sigma_grid
from wan.settings import SamplingSettings
from wan.shortcuts import FRAME_POSITIONS


def make_plan(settings: SamplingSettings, geometry: Geometry) -> Plan:
    """Decide every step of a run; ``InvalidInput`` says what cannot be planned and what to change."""
    refuse_bad_values(settings)
    grid = sigma_grid(settings.solver, steps=settings.steps, shift=settings.shift)
    experts = [expert_for(timestep, settings.boundary) for timestep in grid.timesteps]
    _refuse_impossible_combinations(settings, geometry, experts)
    truncated, notices = truncated_steps(settings, experts)
    halved, window_notices = half_frame_window(settings, experts)
    notices += window_notices
    frames = latent_frame_counts(geometry, halved, len(experts))
    strides = position_strides(settings, geometry, frames)
    guidances = guidance_per_step(settings, experts, truncated, grid.sigmas)
    notices += _fallback_notices(settings, experts, guidances, truncated)
    restarts = restarted_steps(settings, experts, halved)
    steps = tuple(
        Step(
            index=index,
            sigma=sigma,
            sigma_next=sigma_next,
            timestep=grid.timesteps[index],
            expert=experts[index],
            latent_frames=frames[index],
            guidance=guidances[index],
            position_stride=strides[index],
            restarts=index in restarts,
        )
        for index, (sigma, sigma_next) in enumerate(pairwise(grid.sigmas))
    )
    cache = cache_settings(settings)
    steps, cache_notices = plan_cache(settings, cache, steps)
    return Plan(
        geometry=geometry,
        solver=settings.solver,
        shift=settings.shift,
        boundary=settings.boundary,
        frame_completion=settings.frame_completion,
        steps=steps,
        cache=cache,
        notices=(*notices, *cache_notices),
    )


def expert_for(timestep: int, boundary: float | None) -> Expert:
    """The official rule: the high-noise expert iff t >= boundary * 1000."""
    if boundary is None:
        return Expert.SINGLE
    return Expert.HIGH_NOISE if timestep >= boundary * NUM_TRAIN_TIMESTEPS else Expert.LOW_NOISE


def truncated_steps(settings: SamplingSettings, experts: Sequence[Expert]) -> tuple[frozenset[int], list[str]]:
    """Indices of the steps whose CFG is truncated: the last N of the low-noise (or single) expert, the last M of the
    high-noise expert; with one sentence for each count that was clipped to the length of its expert's range, and one
    for steps that have no second pass."""
    last_expert = Expert.SINGLE if settings.boundary is None else Expert.LOW_NOISE
    requests = (
        ("--cfg_truncate_steps", settings.cfg_truncate_steps, last_expert),
        ("--cfg_truncate_high_noise_steps", settings.cfg_truncate_high_noise_steps, Expert.HIGH_NOISE),
    )
    truncated: set[int] = set()
    notices = []
    for flag, count, expert in requests:
        own = [index for index, name in enumerate(experts) if name is expert]
        if count > len(own):
            notices.append(f"{flag} {count} is clipped to {len(own)}: the {expert.value} expert has {len(own)} steps")
        truncated.update(own[max(0, len(own) - count) :])
    alone = {index for index in truncated if guidance_scale(settings, experts[index]) == 1.0}
    if alone:
        notices.append(
            "CFG truncation saves nothing at --sample_guide_scale 1, where a step evaluates the prompt alone: "
            f"{len(alone)} of the truncated steps stay as they are"
        )
    return frozenset(truncated - alone), notices


def restarted_steps(settings: SamplingSettings, experts: Sequence[Expert], halved: range) -> frozenset[int]:
    """The first low-noise step, where it is asked for: a multistep solver extrapolates one network's estimates, and its
    corrector compares them, so that the other network's look like an error of the step. Estimates of all frames and of
    half of them differ alike (measured: 0.2 to 0.4 dB), so that a step that leaves frames out restarts always."""
    leaving = {halved.start} if halved and halved.start else set()
    switches = {index for index in range(1, len(experts)) if experts[index] is not experts[index - 1]}
    return frozenset(leaving | switches if settings.restart_at_switch else leaving)


def half_frame_window(settings: SamplingSettings, experts: Sequence[Expert]) -> tuple[range, list[str]]:
    """The steps that have half of the latent frames, with a sentence where they are fewer than asked for.

    They begin after ``half_frame_start`` steps and end at the expert switch, or after ``half_frame_steps`` of them; the
    last step of a run has all frames.
    """
    if settings.frame_completion is None:
        return range(0), []
    start, asked = settings.half_frame_start, settings.half_frame_steps
    wanted = experts.count(Expert.HIGH_NOISE) if asked is None else start + asked
    window = range(start, min(wanted, len(experts) - 1))
    if not window:
        return range(0), ["no step is left for half of the frames: this is the plain run; lower --half_frame_start"]
    if wanted > window.stop:
        return window, [f"--half_frame_steps {asked} is clipped to {len(window)}: the last step has all frames"]
    return window, []


def latent_frame_counts(geometry: Geometry, halved: range, steps: int) -> list[int]:
    """Half-frame generation: ceil(L/2) of the L latent frames in the steps of the window ``halved``."""
    full = geometry.latent_frames
    return [half_latent_frames(full) if index in halved else full for index in range(steps)]


def position_strides(settings: SamplingSettings, geometry: Geometry, frames: Sequence[int]) -> list[int]:
    """Half-frame generation: where the kept frames stand in time. A video model sees speed in positions: every second
    frame shown as consecutive ones looks twice as fast, so it makes its motion half as fast."""
    half = FRAME_POSITIONS[settings.frame_positions]
    return [1 if count == geometry.latent_frames else half for count in frames]


def guidance_per_step(
    settings: SamplingSettings, experts: Sequence[Expert], truncated: frozenset[int], sigmas: Sequence[float]
) -> list[Guidance]:
    """Full CFG, or the truncation mode's guidance where a step is truncated.

    A mode that reuses D needs a fully guided step of the same expert before it; where the whole range of an expert is
    truncated there is none, and the step falls back to the conditional branch alone.
    """
    mode = TRUNCATION_MODES[settings.cfg_truncate_mode]
    guidances: list[Guidance] = []
    measured_at: dict[Expert, float] = {}
    for index, (expert, sigma) in enumerate(zip(experts, sigmas, strict=False)):
        scale = guidance_scale(settings, expert)
        guidance = mode(scale, sigma / measured_at.get(expert, sigma)) if index in truncated else full_guidance(scale)
        if guidance.reuses and expert not in measured_at:
            guidance = SingleBranch(Branch.COND)
        if guidance.measures:
            measured_at[expert] = sigma
        guidances.append(guidance)
    return guidances


def _fallback_notices(
    settings: SamplingSettings, experts: Sequence[Expert], guidances: Sequence[Guidance], truncated: frozenset[int]
) -> list[str]:
    mode = settings.cfg_truncate_mode
    wanted = {index for index in truncated if TRUNCATION_MODES[mode](2.0, 1.0).reuses}
    fallen = {experts[index] for index in wanted if not guidances[index].reuses}
    return [
        f"the {expert.value} expert has no fully guided step left, so mode {mode} has no difference to reuse there: "
        "its truncated steps use the conditional branch alone"
        for expert in Expert
        if expert in fallen
    ]


def full_guidance(scale: float) -> Guidance:
    """Full CFG at a scale."""
    # at scale 1 the unconditional branch cancels out of the CFG equation: evaluating it would buy nothing
    return SingleBranch(Branch.COND) if scale == 1.0 else ClassifierFree(scale)


def guidance_scale(settings: SamplingSettings, expert: Expert) -> float:
    """The scale of an expert; a single expert has the low-noise one."""
    return settings.high_noise_guidance_scale if expert is Expert.HIGH_NOISE else settings.low_noise_guidance_scale


def refuse_bad_values(settings: SamplingSettings) -> None:
    """``InvalidInput`` for a solver, steps or a shift that no plan has."""
    if settings.solver not in SOLVER_NAMES:
        raise InvalidInput(f"--sample_solver {settings.solver!r} is unknown; choose one of {', '.join(SOLVER_NAMES)}")
    if settings.steps < 1:
        raise InvalidInput(f"--sample_steps {settings.steps} must be at least 1")
    if not settings.shift > 0:
        raise InvalidInput(f"--sample_shift {settings.shift:g} must be greater than 0 (official: 3 to 12)")


def _refuse_impossible_combinations(settings: SamplingSettings, geometry: Geometry, experts: Sequence[Expert]) -> None:
    if settings.boundary is None and settings.cfg_truncate_high_noise_steps:
        raise InvalidInput(
            f"--cfg_truncate_high_noise_steps {settings.cfg_truncate_high_noise_steps} needs a model with two experts; "
            "this task has one: use --cfg_truncate_steps, which counts from the end"
        )
    if settings.restart_at_switch and settings.boundary is None:
        raise InvalidInput(
            "--restart_at_switch needs a model with two experts, and this task has one: leave it out, nothing switches"
        )
    if settings.frame_completion is None:
        return
    ends_at_switch = settings.half_frame_steps is None
    if settings.boundary is None and ends_at_switch:
        raise InvalidInput(
            "--enable_half_frame_generation needs a model with two experts, because the frames are completed at the "
            "expert switch; this task has one: say with --half_frame_steps how many steps have half of the frames, or "
            "leave the flag out"
        )
    if geometry.latent_frames == 1:
        raise InvalidInput(
            "--enable_half_frame_generation cannot halve a one-frame output: leave the flag out or raise --frame_num"
        )
    if Expert.LOW_NOISE not in experts and ends_at_switch:
        raise InvalidInput(
            f"--enable_half_frame_generation needs a low-noise step to complete the frames in, and {settings.steps} "
            f"steps at shift {settings.shift:g} have none: raise --sample_steps or lower --sample_shift"
        )
