"""Shared fixtures: where the recorded tensors are, and one thread so that results and timings are steady."""

from pathlib import Path

import pytest
import torch

TEST_DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    return TEST_DATA
