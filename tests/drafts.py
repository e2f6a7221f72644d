"""Figures as drafts, for tests of commands that draw many: tests/analysis draws them as they are."""

from collections.abc import Iterator

import pytest

from wan.analysis import plots


@pytest.fixture(scope="module", autouse=True)
def draft_figures() -> Iterator[None]:
    """Small and without the layout engine; in a folder whose conftest imports it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "DPI", 25)
        patch.setattr(plots, "LAYOUT", "none")
        yield
