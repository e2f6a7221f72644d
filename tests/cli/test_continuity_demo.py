"""``wan continuity-demo``: what the founding documents name, said to be simulated; refusals."""

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Refusal
from wan.cli import continuity_demo


def test_demo_writes_what_the_founding_documents_name_and_says_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    continuity_demo.main(["--demo", "--output_dir", str(tmp_path / "demo")])
    printed = capsys.readouterr().out
    assert "SIMULATED" in printed and "Early steps (1-5):" in printed and "Late steps (11-20):" in printed
    data = np.load(tmp_path / "demo" / "temporal_continuity_demo.npz")
    assert bool(data["simulated"]) and len(data["sigmas"]) == 20
    assert data["x_t_mse"][0] == pytest.approx(2.0, rel=0.05)
    # a perfect denoiser's estimate is smoothest while it knows least
    assert data["x0_normalized_l2"][0] < data["x0_normalized_l2"][-1]
    assert (tmp_path / "demo" / "temporal_continuity_demo.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--correlation", "1"], "--correlation 1 must be at least 0 and below 1"),
        (["--latent_frames", "1"], "--latent_frames 1 must be at least 2"),
        (["--shift", "0"], "--shift 0 must be greater than 0"),
    ],
)
def test_refusals(flags: list[str], sentence: str, refusal: Refusal) -> None:
    assert sentence in refusal("continuity-demo", flags)
