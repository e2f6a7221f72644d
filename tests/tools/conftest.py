"""Tools draw many figures: here they are drafts; tests/analysis draws them as they are."""

from collections.abc import Iterator

import pytest

from wan.analysis import plots


@pytest.fixture(scope="session", autouse=True)
def draft_figures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "DPI", 25)
        patch.setattr(plots, "LAYOUT", "none")
        yield
