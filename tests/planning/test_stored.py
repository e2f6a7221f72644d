"""Calibration files: whole after a round trip, and refused with one sentence when anything in them is wrong."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.planning.calibrations import make_calibration, write
from wan.errors import InvalidInput
from wan.planning.stored import FORMAT, read_calibration, write_calibration


def test_a_calibration_comes_back_as_it_was(tmp_path: Path) -> None:
    calibration = make_calibration(0.25, 0.5, 0.7)
    write_calibration(tmp_path / "calibration.json", calibration)
    assert read_calibration(tmp_path / "calibration.json") == calibration


def test_plans_are_read_cheapest_first(tmp_path: Path) -> None:
    path = write(tmp_path / "calibration.json", 0.7, 0.25, 0.5)
    calibration = read_calibration(path)
    assert [plan.forwards for plan in calibration.plans] == [10, 20, 28]
    assert [calibration.within(forwards) for forwards in (9, 10, 19.9, 27, 99)] == [
        None,
        *(calibration.plans[place] for place in (0, 0, 1, 2)),
    ]


def first(data: dict[str, Any]) -> dict[str, Any]:
    return data["plans"][0]


def step(data: dict[str, Any], index: int) -> dict[str, Any]:
    return first(data)["steps"][index]


def put(found: dict[str, Any], **values: Any) -> None:
    found.update(values)


DAMAGES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda data: put(data, format="other 1"), f"is no calibration (its 'format' is not {FORMAT!r})"),
    (lambda data: data.pop("format"), "is no calibration"),
    (lambda data: put(data, plans=[]), "it holds no plan"),
    (lambda data: data.pop("plans"), "'plans' is missing"),
    (lambda data: put(data, plans="none"), "is damaged"),
    (lambda data: put(data, baseline=None), "is damaged"),
    (lambda data: data["baseline"].pop("shift"), "'shift' is missing"),
    (lambda data: put(data["baseline"], size=[64]), "is damaged"),
    (lambda data: put(first(data), steps=[]), "the plan of budget 0.25 has no step"),
    (lambda data: put(first(data), budget=math.nan), "the budget nan is not between 0 and 1"),
    (lambda data: put(first(data), budget=7), "the budget 7 is not between 0 and 1"),
    (lambda data: put(first(data), expected={"psnr": 30}), "'psnr_worst' is missing"),
    (lambda data: put(first(data)["expected"], psnr="good"), "could not convert"),
    (lambda data: step(data, 1)["update"]["denoised"].append(1.0), "2 of differences"),
    (lambda data: step(data, 1)["update"]["differences"].pop(), "2 weights of denoised estimates and 1 of"),
    (
        lambda data: put(step(data, 2), update={"noise": 0, "denoised": [1], "differences": [0]}),
        "step 3 has 1 weights of denoised estimates instead of 3",
    ),
    (lambda data: step(data, 0)["update"].pop("noise"), "'noise' is missing"),
    (lambda data: put(step(data, 1)["update"], noise=math.nan), "step 2 has a weight that is not finite"),
    (lambda data: put(step(data, 1)["update"], differences=[0, math.inf]), "step 2 has a weight that is not finite"),
    (lambda data: put(step(data, 1)["update"], noise="much"), "could not convert"),
    (lambda data: put(step(data, 1), sigma=step(data, 0)["sigma"]), "do not fall from at most 1 to above 0"),
    (lambda data: put(step(data, 1), sigma=math.nan), "do not fall"),
    (lambda data: put(step(data, 0), sigma=math.nan), "do not fall"),
    (lambda data: put(step(data, 0), sigma=1.5), "do not fall"),
    (lambda data: put(step(data, 4), sigma=0.0), "do not fall"),
    (lambda data: put(step(data, 4), sigma=-0.1), "do not fall"),
    (lambda data: put(step(data, 1), expert="middle"), "'middle' is not a valid Expert"),
    (lambda data: put(step(data, 1), seen={"norm": [1.0, 2.0]}), "'motion' is missing"),
    (lambda data: put(step(data, 1), seen={"norm": "ab", "motion": [1, 2]}), "could not convert"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES)
def test_a_damaged_file_is_refused(damage: Callable[[dict[str, Any]], object], sentence: str, tmp_path: Path) -> None:
    path = write(tmp_path / "plan.json", 0.25)
    data = json.loads(path.read_text(encoding="utf-8"))
    damage(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        read_calibration(path)
    said = str(caught.value)
    assert sentence in said and str(path) in said and "wan tune" in said and "\n" not in said


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[]", b"7"])
def test_what_is_no_calibration_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"plan\.json (are not JSON|is no calibration)"):
        read_calibration(tmp_path / "plan.json")


@pytest.mark.parametrize("name", ["nowhere.json", "."])
def test_what_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_calibration(tmp_path / name)
