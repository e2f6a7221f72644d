"""A stub service for every test that asks one, and tiny Qwen models made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.extension.stub_service import StubService, stub_service


@pytest.fixture
def stub() -> Iterator[StubService]:
    with stub_service() as service:
        yield service


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.extension.tiny_qwen import make_text_model

    return make_text_model(tmp_path_factory.mktemp("qwen") / "text")


@pytest.fixture(scope="session")
def vision_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.extension.tiny_qwen import make_vision_model

    return make_vision_model(tmp_path_factory.mktemp("qwen") / "vision")
