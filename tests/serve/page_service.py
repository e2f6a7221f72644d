"""A running service with its page on this machine's loopback, and a headless Chromium to look at it."""

import importlib.util
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.assault.browser import find_browser

CHROMIUM = find_browser()
# no name but this machine's is found: whatever the page asks of another host fails
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


def missing() -> str:
    """What the tests of the page lack here, and how to get it; on continuous integration nothing may be missing."""
    lacking = {
        "Gradio: make serving": importlib.util.find_spec("gradio") is None,
        "Playwright: pip install -r requirements-dev.txt": importlib.util.find_spec("playwright") is None,
        "Chromium: apt-get install chromium": CHROMIUM is None,
    }
    found = [name for name, is_lacking in lacking.items() if is_lacking]
    return "" if os.environ.get("CI") else f"the page is not tested without {'; '.join(found)}" if found else ""


@contextmanager
def running_service(
    folder: Path, *, token: str | None = None, has_workers: bool = True, **changes: Any
) -> Iterator[tuple[Any, str]]:
    """(desk, address) of a service whose output folder is ``folder``, of the demo model where ``changes`` of its
    settings do not say another. Without workers it takes requests, and makes none."""
    from wan.serve.app import make_app
    from wan.serve.desk import Desk, DeskSettings
    from wan.serve.page.mount import mount_page
    from wan.serve.running import make_server

    desk = Desk(DeskSettings(folder=folder, **{"models": {"t2v-demo": None}, **changes}))
    with desk if has_workers else closing(_Unstarted(desk)):
        app = make_app(desk, token=token, mount_page=mount_page)
        server, listening = make_server(app), socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline, "the service did not start"
            time.sleep(0.05)
        try:
            yield desk, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


@dataclass(frozen=True, slots=True)
class _Unstarted:
    """A desk that was not started, to be closed."""

    desk: Any

    def close(self) -> None:
        self.desk.stop()


@contextmanager
def running_browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def opened(page: Any, address: str, path: str = "/") -> Any:
    """The page, when its first price is there."""
    page.goto(address + path)
    page.locator("#quote .figures").wait_for(state="attached")
    return page


def tab(page: Any, name: str) -> None:
    """Open one tab."""
    page.get_by_role("tab", name=name, exact=True).click()


def finished(desk: Any, id: str, *, seconds: float = 180.0) -> Any:
    """The entry of a request once it is over."""
    deadline = time.monotonic() + seconds
    while not (entry := desk.entry(id)).is_over:
        assert time.monotonic() < deadline, f"{id} is still {entry.state} at step {entry.step}"
        time.sleep(0.1)
    return entry
