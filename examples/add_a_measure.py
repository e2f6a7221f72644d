"""Extending: a measure of a method against its baseline, which every report and table then shows.

    python examples/add_a_measure.py

In the package a measure is a function in wan/analysis/metrics.py and a row in wan/analysis/measures.py; here the row is
added from outside.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from wan.analysis.comparison import judge
from wan.analysis.comparison_report import format_method
from wan.analysis.measures import MEASURES, Cost, Measure, Observation

COST = Cost(forwards=40, token_forwards=8320, flops=1e11, inference_seconds=1.0, switch_seconds=0.0, decode_seconds=0.0)


def brightness_shift(method: np.ndarray, baseline: np.ndarray) -> float:
    """|mean(method) - mean(baseline)| of videos (N, H, W, 3) in [0, 1]: a colour shift that PSNR hardly sees."""
    return float(abs(method.mean(dtype=np.float64) - baseline.mean(dtype=np.float64)))


ROW = Measure(
    name="brightness_shift",
    label=("shift of the mean brightness", "平均亮度偏移"),
    formula="|mean m - mean b|",
    section="quality",
    value=lambda observation: brightness_shift(observation.method, observation.baseline),
    small_is_bad=False,
    form=".4f",
)


def main() -> None:
    MEASURES[ROW.name] = ROW
    baseline = np.full((5, 16, 16, 3), 0.4)
    observation = Observation(
        method=baseline + 0.01, baseline=baseline, cost=COST, baseline_cost=COST, half_frame_stride=None
    )
    print(format_method("brighter", [judge(observation, prompt="constructed", seed=0)]))


if __name__ == "__main__":
    main()
