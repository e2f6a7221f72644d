"""Shared: where the recorded tensors are, one thread so that results and timings are steady, slow files first."""

from pathlib import Path

import pytest
import torch

from tests.tiny_checkpoint import make_tiny_checkpoint

SLOWEST = (
    "tests/parallel/test_parity.py",
    "tests/test_documented_commands.py",
    "tests/test_resume.py",
    "tests/parallel/test_group.py",
    "tests/serve/test_page.py",
    "tests/serve/test_page_more.py",
    "tests/serve/test_page_queue.py",
    "tests/assault/test_sample.py",
    "tests/parity/test_engine.py",
    "tests/batch/test_ray_engine.py",
    "tests/batch/test_videos.py",
    "tests/serve/test_command.py",
    "tests/faults/test_loadability.py",
    "tests/cli/test_compare.py",
    "tests/parity/test_generate.py",
    "tests/test_examples.py",
    "tests/test_generate.py",
    "tests/parity/test_resume.py",
    "tests/models/test_plan_cache.py",
    "tests/instruments/arena/test_arena.py",
    "tests/faults/test_text.py",
    "tests/tools/test_measure_memory.py",
    "tests/models/test_network_cache.py",
)
"""Files of more than 20 seconds of processor time, about the slowest first: started late, one would run on alone."""
TEST_DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files of ``SLOWEST`` come first. Tests marked ``gpu`` are skipped where there is none."""
    places = {config.rootpath / name: place for place, name in enumerate(SLOWEST)}
    assert all(path.is_file() for path in places), "SLOWEST in tests/conftest.py names a file that is gone"
    items.sort(key=lambda item: places.get(item.path, len(places)))
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
