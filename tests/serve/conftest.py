"""A headless browser for the tests of the page, and windows in which an error of the page fails the test."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serve.page_service import running_browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as found:
        yield found


@pytest.fixture(scope="module")
def contexts() -> dict[str, Any]:
    """The contexts of the browser by their options: windows of one share what they have loaded."""
    return {}


@pytest.fixture()
def page(browser: Any, contexts: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[Any]:
    """A new window; the test fails when the page has an error of its own, or asks another host."""
    options = {"locale": "en-GB", "viewport": {"width": 1280, "height": 900}} | getattr(request, "param", {})
    key = repr(sorted(options.items()))
    contexts[key] = contexts.get(key) or browser.new_context(**options)
    found = contexts[key].new_page()
    found.set_default_timeout(180_000)  # two processors, and other tests beside this one
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("request", lambda asked: errors.append(asked.url) if not _is_own(asked.url) else None)
    yield found
    found.close()
    assert errors == []


def _is_own(url: str) -> bool:
    return re.match(r"(http://127\.0\.0\.1:\d+/|data:|blob:)", url) is not None
