"""From cases on disk to rows, and ours against the best peer at the same cost: hand-worked numbers."""

import csv
import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wan.instruments.arena.against import against_peers
from wan.instruments.arena.contestants import Contestant
from wan.instruments.arena.figure import plot_arena
from wan.instruments.arena.rows import Row, make_rows
from wan.instruments.arena.suite import OTHER, OURS, PEER
from wan.instruments.arena.tables import as_csv, front_of, markdown
from wan.instruments.arena.truth import Floor


def row(name: str, family: str, role: str, cost: float, *psnrs: float, **more: Any) -> Row:
    return Row(
        name=name,
        family=family,
        role=role,
        clips=len(psnrs),
        cost=cost,
        time=cost,
        seconds=cost,
        psnr=sum(psnrs) / len(psnrs),
        psnr_std=1.0,
        psnr_worst=min(psnrs),
        ssim=0.9,
        ssim_worst=0.8,
        psnrs=psnrs,
        **{"motion_ratio": 1.0, "obedience": 0.9, "motion_right": 0.9, "frechet": 4.0} | more,
    )


ROWS = [
    row("plain", "plain", OTHER, 1.0, math.inf, math.inf),
    row("re-run", "re-run", OTHER, 1.0, math.inf, math.inf),
    row("another seed", "another seed", OTHER, 1.0, 18.0, 20.0),
    row("sea low", "Sea", PEER, 0.4, 28.0, 30.0),
    row("sea high", "Sea", PEER, 0.6, 36.0, 42.0),
    row("steps", "steps", PEER, 0.45, 27.0, 28.0, motion_ratio=2.0),
    row("half", "half", OTHER, 0.5, 50.0, 50.0),
    row("ours", "ours", OURS, 0.5, 38.0, 40.0),
    row("weak", "ours", OURS, 0.3, 20.0, 22.0, motion_ratio=0.8, obedience=0.8),
]


def test_ours_is_held_against_the_envelope_of_the_peers() -> None:
    ours, weak = against_peers(ROWS)
    # half way between (0.4, 29) and (0.6, 39); worst clips 28 and 36
    assert ours.peer and (ours.peer.family, ours.peer.lower, ours.peer.upper) == ("Sea", "sea low", "sea high")
    assert ours.peer.quality == pytest.approx(34.0) and ours.difference == pytest.approx(5.0)
    assert ours.worst_peer and ours.worst_peer.quality == pytest.approx(32.0)
    assert ours.worst_difference == pytest.approx(6.0) and ours.missed == ()
    # per clip the peer has 32 and 36, so the differences are 6 and 4
    assert ours.mean_error == pytest.approx(math.sqrt(2) / math.sqrt(2))
    assert weak.peer is None and weak.missed == ("motion 0.95 to 1.05", "obedience -10.0 points")


def test_a_method_that_is_not_far_enough_above_misses_the_margin() -> None:
    near = [replace(one, psnr=36.0, psnr_worst=31.0) if one.name == "ours" else one for one in ROWS]
    assert against_peers(near)[0].missed == ("mean: +3 dB", "worst clip")


def test_tables_and_csv_hold_every_method() -> None:
    text = markdown(
        [*ROWS, Row(name="none", family="f", role=PEER, clips=0, error="E: why")],
        against_peers(ROWS),
        floor=Floor(mean=2.0, largest=3.0),
    )
    assert "| **half** | 0.500 |" in text and "| steps | 0.450 |" in text
    assert "- none: E: why" in text and "| plain | 1.000 | 1.00 | equal" in text
    assert "| ours | 0.500 | 39.0 | 34.0 (sea low to sea high) | +5.0 ± 1.0 |" in text
    assert "none is that cheap" in text and "2.00, at most 3.00" in text
    lines = list(csv.DictReader(io.StringIO(as_csv(ROWS))))
    assert [line["name"] for line in lines] == [one.name for one in ROWS]
    assert float(lines[7]["psnr"]) == 39.0 and lines[0]["psnr"] == "inf" and lines[0]["error"] == ""


def test_the_front_leaves_the_controls_out() -> None:
    assert [point.name for point in front_of(ROWS)] == ["weak", "sea low", "half"]


@pytest.mark.parametrize("rows", [ROWS, [replace(one, obedience=None, frechet=None) for one in ROWS]])
def test_the_figure_is_drawn_with_and_without_truth(rows: list[Row], tmp_path: Path) -> None:
    plot_arena(tmp_path / "arena.png", rows, floor=None, title="t")
    assert (tmp_path / "arena.png").stat().st_size > 1000


def case(flops: float, psnr: float, motion: float) -> dict[str, Any]:
    measures = {"psnr": psnr, "ssim": 0.5, "motion": motion, "baseline_motion": 2.0, "motion_ratio": motion / 2.0}
    return {"cost": {"flops": flops, "inference_seconds": flops / 10}, "measures": measures}


def test_rows_sum_costs_and_name_the_clips_that_failed() -> None:
    contestants = [Contestant(name=name, family=name, role=OTHER) for name in ("plain", "half", "broken")]
    contestants.append(Contestant(name="never", family="never", role=OTHER, refusal="cannot"))
    found = {
        "plain": [case(10.0, math.inf, 2.0), case(14.0, math.inf, 2.0)],
        "half": [case(5.0, 30.0, 1.0), case(7.0, 20.0, 2.0)],
        "broken": [case(6.0, 10.0, 2.0), {"error": "ValueError: no"}],
        "never": [],
    }
    plain, half, broken, never = make_rows(contestants, found, judge=None, shown=[])
    assert plain.psnr == math.inf and plain.psnr_std == 0.0 and plain.cost == 1.0
    assert (half.cost, half.time, half.psnr, half.psnr_worst) == (0.5, pytest.approx(0.5), 25.0, 20.0)
    assert half.motion_ratio == pytest.approx(3.0 / 4.0) and half.psnrs == (30.0, 20.0)
    assert (broken.clips, broken.cost, broken.psnrs) == (1, 0.6, (10.0, None))
    assert broken.error == "ValueError: no (1 of 2 clips)"
    assert (never.clips, never.error, never.cost) == (0, "cannot", None)


def test_times_are_left_out_where_the_machine_did_other_work() -> None:
    contestants = [Contestant(name=name, family=name, role=OTHER) for name in ("plain", "half")]
    # the same plan took 1 second for one clip and 1.6 for another
    found = {
        "plain": [case(10.0, 40.0, 2.0), case(16.0, 40.0, 2.0)],
        "half": [case(5.0, 30.0, 1.0), case(8.0, 20.0, 2.0)],
    }
    rows = make_rows(contestants, found, judge=None, shown=[])
    assert [(row.cost, row.time, row.seconds) for row in rows] == [(1.0, None, None), (0.5, None, None)]
    text = markdown(rows, [], floor=None)
    assert "took more than 1.5 times as long as its fastest" in text and "half** | 0.500 | - |" in text
