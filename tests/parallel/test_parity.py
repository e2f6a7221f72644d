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


@pytest.fixture(scope="module")
def results(folder: Path, request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """What the ranks of one group found, case by case."""
    ranks: int = request.param
    log = folder / f"log_{ranks}"
    codes = finished(launched(ranks, "-m", "tests.parallel.child", str(folder), log=log), seconds=1200)
    assert codes == [0] * ranks, "\n".join(said(log, rank)[-2000:] for rank in range(ranks))
    found = json.loads((folder / f"results_{ranks}.json").read_text())
    return {result["name"]: result for result in found}


@pytest.mark.parametrize("results", [2], indirect=True)
def test_the_official_parameters_make_the_same_video_on_rank_0_alone(
    results: dict[str, dict[str, Any]], folder: Path
) -> None:
    assert json.loads((folder / "official_0.json").read_text())["difference"] <= TOLERANCE
    assert json.loads((folder / "official_1.json").read_text()) == {}


@pytest.mark.parametrize(
    ("results", "case"),
    [pytest.param(case.ranks, case, id=f"{case.ranks} ranks, {case.name}") for case in CASES],
    indirect=["results"],
)
def test_several_ranks_make_the_latents_of_one(results: dict[str, dict[str, Any]], case: Case) -> None:
    result = results[case.name]
    assert result["difference"] <= TOLERANCE < 0.1 < result["largest"]
    assert result["ranks_agree"]  # bit for bit, or their caches would decide apart
    together, alone = result["forwards"]
    assert together == alone > 0
    together, alone = result["flops"]
    assert together == pytest.approx(alone)
