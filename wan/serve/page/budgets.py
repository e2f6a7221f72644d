"""The budgets that a model can be asked for, with what is known of their error: the calibration's, or the presets."""

from dataclasses import dataclass
from pathlib import Path

from wan.budgets import PRESETS
from wan.configs import WAN_CONFIGS
from wan.errors import WanError
from wan.loading.layouts import known_checkpoint_dir
from wan.planning.stored import Expected, read_calibration
from wan.runs.provenance import CALIBRATION_NAME


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """A share of the plain run's forwards; ``expected``: what its calibration scored, None where nothing is known."""

    share: float
    expected: Expected | None


def budgets_of(task: str, ckpt_dir: Path | None) -> list[Budget]:
    """The budgets below the plain run, the dearest first."""
    folder = known_checkpoint_dir(WAN_CONFIGS[task], ckpt_dir)
    path = None if folder is None else folder / CALIBRATION_NAME
    if path is not None and path.is_file():
        try:
            plans = read_calibration(path).plans
        except (WanError, OSError):
            plans = ()
        if plans:
            found = [Budget(share=plan.budget, expected=plan.expected) for plan in plans]
            return sorted(found, key=lambda one: -one.share)
    return [Budget(share=share, expected=None) for share in PRESETS.values() if share < 1.0]
