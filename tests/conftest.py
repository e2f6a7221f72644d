"""Shared fixtures: where the recorded tensors are, and one thread so that results and timings are steady."""

from pathlib import Path

import pytest
import torch

from tests.tiny_checkpoint import make_tiny_checkpoint

TEST_DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``gpu`` are skipped where there is none."""
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    return TEST_DATA


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-expert checkpoint for task t2v-demo: tools run on it in a second."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))
