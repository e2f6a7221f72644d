"""Final latents of 2 and 4 ranks on gloo against one rank's, for every model kind, shortcut and way to share."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.parallel.cases import CASES, Case
from tests.parallel.child import write_checkpoints
from tests.parallel.launch import finished, launched, said

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("parity")
    write_checkpoints(made)
    return made


def found_by(ranks: int, folder: Path) -> dict[str, dict[str, Any]]:
    """What the ranks of one group found, case by case."""
    log = folder / f"log_{ranks}"
    log.mkdir()  # a second group of as many ranks would fail here: one takes a minute
    codes = finished(launched(ranks, "-m", "tests.parallel.child", str(folder), log=log), seconds=1200)
    assert codes == [0] * ranks, "\n".join(said(log, rank)[-2000:] for rank in range(ranks))
    found = json.loads((folder / f"results_{ranks}.json").read_text())
    return {result["name"]: result for result in found}


# not one fixture with a parameter: once the parameter has changed, pytest makes it again for every test that follows
@pytest.fixture(scope="module")
def two_ranks(folder: Path) -> dict[str, dict[str, Any]]:
    return found_by(2, folder)


@pytest.fixture(scope="module")
def four_ranks(folder: Path) -> dict[str, dict[str, Any]]:
    return found_by(4, folder)


GROUPS = {2: "two_ranks", 4: "four_ranks"}


@pytest.mark.usefixtures("two_ranks")
def test_the_official_parameters_make_the_same_video_on_rank_0_alone(folder: Path) -> None:
    assert json.loads((folder / "official_0.json").read_text())["difference"] <= TOLERANCE
    assert json.loads((folder / "official_1.json").read_text()) == {}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.ranks} ranks, {case.name}")
def test_several_ranks_make_the_latents_of_one(case: Case, request: pytest.FixtureRequest) -> None:
    result = request.getfixturevalue(GROUPS[case.ranks])[case.name]
    assert result["difference"] <= TOLERANCE < 0.1 < result["largest"]
    assert result["ranks_agree"]  # bit for bit, or their caches would decide apart
    together, alone = result["forwards"]
    assert together == alone > 0
    together, alone = result["flops"]
    assert together == pytest.approx(alone)
