"""What is timed: the plain plan of a task and its shortcuts, with what the price model expects of each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from wan.configs import TaskConfig
from wan.sampling.geometry import Geometry
from wan.sampling.plan import Plan
from wan.sampling.policies import make_plan
from wan.sampling.price import DenoiserSize, price
from wan.settings import SamplingSettings

PLAIN = "plain"
_TRUNCATED = {"cfg_truncate_steps": 5, "cfg_truncate_high_noise_steps": 3}
_HALVED = {"frame_completion": "improved"}
_TWO_EXPERTS: Mapping[str, Mapping[str, Any]] = {
    PLAIN: {},
    "CFG truncation 5 + 3": _TRUNCATED,
    "half-frame": _HALVED,
    "half-frame + CFG truncation 5 + 3": _HALVED | _TRUNCATED,
}
# frames are completed at the expert switch: a single expert has none, and no high-noise steps to truncate
_ONE_EXPERT: Mapping[str, Mapping[str, Any]] = {PLAIN: {}, "CFG truncation 5": {"cfg_truncate_steps": 5}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One task in one shape with one number of steps; ``size`` is the denoiser's, for the price."""

    config: TaskConfig
    settings: SamplingSettings
    geometry: Geometry
    size: DenoiserSize

    def plans(self) -> dict[str, Plan]:
        """The plan of every variant that the task and the shape allow, the plain one first."""
        variants = _ONE_EXPERT if self.settings.boundary is None else _TWO_EXPERTS
        return {
            name: make_plan(replace(self.settings, **changes), self.geometry)
            for name, changes in variants.items()
            if self.geometry.latent_frames > 1 or "frame_completion" not in changes
        }

    def flops(self, plan: Plan) -> float:
        """What the price model expects a plan to compute."""
        return price(plan, self.size).planned.flops
