"""Draws clips as a sheet: one row per clip, a few frames left to right, what was asked and what was read."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import torch

from wan.demo_world.detector import Reading

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FRAMES = (0, 8, 16, 24, 32, 40, 48)


def draw_contact_sheet(
    videos: torch.Tensor, titles: list[str], readings: list[Reading], path: Path, *, columns: int = 2
) -> None:
    """Writes a PNG of clips (N, 3, 49, H, W), `columns` clips side by side."""
    rows = -(-len(videos) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(columns * 6.2, rows * 1.25), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, video, title, reading in zip(axes.flat, videos, titles, readings, strict=False):
        strip = torch.cat(
            [torch.nn.functional.pad(video[:, frame], (1, 1, 1, 1), value=0.5) for frame in FRAMES], dim=2
        )
        axis.imshow(strip.permute(1, 2, 0).numpy(), interpolation="nearest")
        seen = f"{reading.colour} {reading.shape}, {reading.motion}, on {reading.background}"
        axis.set_title(f"{title or '(empty prompt)'}\nread: {seen}", fontsize=7, loc="left", pad=2)
    figure.tight_layout(pad=0.4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
