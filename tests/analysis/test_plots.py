"""No figure lets its labels collide: every drawing is laid out and the boxes of its texts are measured."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from tests.analysis.test_comparison import case, video
from tests.analysis.test_continuity_run import straight_run
from tests.analysis.test_guidance_error import EXPERTS, make_steps
from wan.analysis import plots
from wan.analysis.comparison_plots import plot_cases, plot_contact_sheet, plot_divergence, plot_per_frame
from wan.analysis.continuity_plots import plot_continuity, plot_demo, plot_sweep, plot_switch
from wan.analysis.guidance_plots import plot_cfg_error, plot_reuse

LONG = "half-frame, improved, CFG 5 + 3, decay"
FOLDER = "/home/somebody/outputs/t2v-demo_20260101-000000_一个红色的圆在蓝色背景上向右移动/debug_$a_$b"
TITLE = "worst of 36: '一个红色的圆在蓝色背景上向右移动 and a red circle that moves right', seed 0, " * 2


def runs(*names: str) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4, 5, 4, 4, generator=generator)
    return {
        name: straight_run(noise[:, :1].expand_as(noise) * (number + 1), noise) for number, name in enumerate(names)
    }


def differences() -> list[Any]:
    generator = np.random.default_rng(0)
    steps = make_steps([generator.standard_normal(50) * (20 - n) for n in range(20)], EXPERTS)
    return [replace(step, cosine=0.4, truncated=step.index > 16) for step in steps]


def results(count: int, frames: int = 9) -> list[Any]:
    baseline = video(99, frames=frames)
    stride = 4 if frames > 1 else None
    return [case(np.clip(baseline + 0.01 * (n + 1), 0, 1), baseline, seed=n, stride=stride) for n in range(count)]


def sheet(path: Path, frames: int, shape: tuple[int, int]) -> None:
    clip = np.random.default_rng(0).random((frames, *shape, 3))
    plot_contact_sheet(path, clip, 1 - clip, name=LONG, psnrs=[20.0 - n for n in range(frames)], title=TITLE)


EQUAL = case(video(), video())
EIGHT = [LONG.replace(", ", "\n"), "improved_half_frame", *(f"control_{n}_steps" for n in range(6))]
CURVE = [0.1 * n for n in range(20)]
SPACES = {space: {"normalized_l2": CURVE, "cosine": CURVE} for space in ("x_t", "x0", "eps")}
FIGURES: dict[str, Callable[[Path], None]] = {
    "one case": lambda path: plot_cases(path, {"cfg_truncated": results(1)}, title=TITLE),
    "four single cases": lambda path: plot_cases(
        path, {"combined": results(1), **{f"control_{n}_steps": [EQUAL] for n in "abc"}}, title=TITLE
    ),
    "many cases": lambda path: plot_cases(path, {name: results(3) for name in EIGHT}, title=TITLE),
    "contact sheet": lambda path: sheet(path, 49, (16, 16)),
    "contact sheet, wide": lambda path: sheet(path, 9, (12, 21)),
    "contact sheet, one frame": lambda path: sheet(path, 1, (16, 16)),
    "per frame": lambda path: plot_per_frame(path, results(1)[0], title=TITLE, half_frame_stride=4),
    "one frame": lambda path: plot_per_frame(path, results(1, frames=1)[0], title=TITLE, half_frame_stride=None),
    "drift": lambda path: plot_divergence(path, {"cfg_truncated": results(2), LONG: results(1)}, EXPERTS[-3:]),
    "continuity": lambda path: plot_continuity(path, runs("this run", LONG, FOLDER), "x_t", title=TITLE),
    "continuity, one run": lambda path: plot_continuity(path, runs("this run"), "x0", title=TITLE),
    "switch": lambda path: plot_switch(path, runs("this run", LONG, FOLDER), title=TITLE),
    "sweep": lambda path: plot_sweep(path, runs(*(f"{n} steps" for n in range(10, 60, 5))), "eps", title=TITLE),
    "demo": lambda path: plot_demo(path, CURVE, SPACES, title=TITLE),
    "CFG error": lambda path: plot_cfg_error(path, differences(), title=TITLE),
    "reuse": lambda path: plot_reuse(path, differences(), title=TITLE),
}


@pytest.fixture(params=FIGURES, scope="module")
def drawn(request: pytest.FixtureRequest) -> Iterator[Figure]:
    """Every figure, laid out as it is saved."""
    kept: list[Figure] = []

    def keep(path: Path, drawing: Figure) -> None:
        drawing.canvas.draw()
        kept.append(drawing)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save_figure", keep)
        FIGURES[request.param](Path("figure.png"))
        yield kept[0]


def written(drawing: Figure) -> list[tuple[str, Bbox]]:
    """Everything that is written outside the data, with its box in pixels."""
    assert drawing._suptitle is not None  # matplotlib has no public name for it
    texts = [drawing._suptitle]
    for axes in drawing.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *shown_ticks(axes)]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    return boxes + [("legend", legend.get_window_extent()) for legend in legends(drawing)]


def legends(drawing: Figure) -> list[Legend]:
    return [*drawing.legends, *(axes.get_legend() for axes in drawing.axes if axes.get_legend())]


def shown_ticks(axes: Axes) -> list[Text]:
    """matplotlib also holds labels of ticks beyond the ends of an axis, and does not draw them."""
    x, y = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    return [label for label in axes.get_xticklabels() if x[0] <= label.get_position()[0] <= x[1]] + [
        label for label in axes.get_yticklabels() if y[0] <= label.get_position()[1] <= y[1]
    ]


def overlap(one: Bbox, other: Bbox) -> bool:
    """By more than a pixel in both directions."""
    common = Bbox.intersection(one, other)
    return common is not None and common.width > 1 and common.height > 1


def test_texts_neither_collide_nor_leave_the_figure(drawn: Figure) -> None:
    boxes = written(drawn)
    assert not [(one[0], other[0]) for one, other in combinations(boxes, 2) if overlap(one[1], other[1])]
    page = drawn.bbox.padded(1)
    assert not [name for name, box in boxes if not (page.containsx(box.x0) and page.containsx(box.x1))]
    assert not [name for name, box in boxes if not (page.containsy(box.y0) and page.containsy(box.y1))]


def test_legends_lie_on_no_data(drawn: Figure) -> None:
    boxes = [legend.get_window_extent() for legend in legends(drawn)]
    assert not [box for box in boxes for axes in drawn.axes if overlap(box, axes.bbox)]


def test_axes_have_names_and_room(drawn: Figure) -> None:
    for axes in drawn.axes:
        if not axes.images:
            assert axes.get_xlabel() and axes.get_ylabel()
            assert min(axes.bbox.size) > 150
