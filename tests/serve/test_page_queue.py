"""The tab Queue in a real browser, with a queue that stands still: its order, next, edit, cancel, by keyboard too."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.serve.page_service import missing, running_service

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

WORDS = {
    "en": {"tab": "Queue", "next": "Make it next", "edit": "Edit", "cancel": "Cancel"},
    "zh": {"tab": "队列", "next": "下一个生成", "edit": "编辑", "cancel": "取消"},
}


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    with running_service(tmp_path_factory.mktemp("outputs"), has_workers=False) as found:
        yield found


@pytest.fixture()
def service(standing: tuple[Any, str]) -> tuple[Any, str]:
    """(desk, address) of a service without workers, in whose queue three requests wait and no others are."""
    desk, address = standing
    for id in desk.ids():
        desk.delete(id)
    for number in range(1, 4):
        desk.submit({"prompt": f"prompt {number}", "base_seed": 40 + number, "frame_num": 13, "budget": 0.5})
    return desk, address


def opened(browser: Any, address: str, language: str = "en", **window: Any) -> Any:
    """A window with the tab Queue."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}, **window).new_page()
    page.set_default_timeout(180_000)
    page.goto(f"{address}/{language}/")
    page.locator("#quote .figures").wait_for(state="attached")
    page.get_by_role("tab", name=WORDS[language]["tab"], exact=True).click()
    page.locator("#queue .entry").first.wait_for()
    return page


def shows(page: Any, *titles: str) -> None:
    """Wait until the list has these titles, in this order."""
    page.wait_for_function(
        "(wanted) => [...document.querySelectorAll('#queue .title')].map((one) => one.innerText).join() === wanted",
        arg=",".join(titles),
    )


def button(page: Any, prompt: str, name: str) -> Any:
    return page.locator("#queue .entry", has_text=prompt).get_by_role("button", name=name, exact=True)


@pytest.mark.parametrize("language", WORDS)
def test_a_waiting_request_is_made_next_and_the_list_shows_the_real_order(
    service: tuple[Any, str], browser: Any, language: str
) -> None:
    (desk, address), words = service, WORDS[language]
    page = opened(browser, address, language)
    shows(page, "1. prompt 1", "2. prompt 2", "3. prompt 3")
    assert button(page, "prompt 1", words["next"]).count() == 0
    button(page, "prompt 3", words["next"]).click()
    shows(page, "1. prompt 3", "2. prompt 1", "3. prompt 2")
    page.locator(".note", has_text="prompt 3").wait_for()
    assert button(page, "prompt 3", words["next"]).count() == 0
    assert sorted((entry.position, entry.prompt) for entry in desk.entries()) == [
        (0, "prompt 3"),
        (1, "prompt 1"),
        (2, "prompt 2"),
    ]
    page.context.close()


def test_the_keyboard_alone_changes_the_order_and_never_presses_the_button_of_another_request(
    service: tuple[Any, str], browser: Any
) -> None:
    desk, address = service
    page = opened(browser, address)
    button(page, "prompt 2", "Make it next").focus()
    page.keyboard.press("Enter")
    shows(page, "1. prompt 2", "2. prompt 1", "3. prompt 3")
    page.wait_for_function("document.activeElement.dataset.act === 'watch'")
    assert page.evaluate("document.activeElement.closest('.entry').innerText").startswith("1. prompt 2")
    button(page, "prompt 3", "Cancel").focus()
    desk.prefer(next(entry.id for entry in desk.entries() if entry.prompt == "prompt 1"))
    shows(page, "1. prompt 1", "2. prompt 2", "3. prompt 3")
    focused = page.evaluate("[document.activeElement.dataset.act, document.activeElement.closest('.entry').innerText]")
    assert focused[0] == "cancel" and "prompt 3" in focused[1]
    page.keyboard.press("Enter")
    shows(page, "1. prompt 1", "2. prompt 2", "prompt 3")
    page.context.close()


def test_edit_takes_a_request_out_of_the_queue_and_its_settings_into_the_form(
    service: tuple[Any, str], browser: Any
) -> None:
    desk, address = service
    page = opened(browser, address)
    button(page, "prompt 2", "Edit").click()
    page.get_by_text("was taken out of the queue, and its settings are in the form").wait_for()
    assert page.locator("#prompt textarea").input_value() == "prompt 2"
    assert page.get_by_label("Seed").input_value() == "42" and page.get_by_label("Frames").input_value() == "13"
    assert page.get_by_label("0.5 of the plain run").is_checked()
    page.locator("#prompt textarea").fill("prompt 2, changed")
    page.get_by_role("button", name="Generate").click()
    page.locator("#progress", has_text="Requests before it: 2").wait_for()
    page.get_by_role("tab", name="Queue", exact=True).click()
    shows(page, "1. prompt 1", "2. prompt 3", "3. prompt 2, changed", "prompt 2")
    newest = desk.entries()[0]
    assert (newest.seed, newest.frame_num, newest.share) == (42, 13, desk.entries()[1].share)
    button(page, "prompt 3", "Cancel").click()
    shows(page, "1. prompt 1", "2. prompt 2, changed", "prompt 3", "prompt 2")
    page.context.close()


def test_what_does_not_wait_any_more_is_not_edited(service: tuple[Any, str], browser: Any) -> None:
    desk, address = service
    page = opened(browser, address)
    (second,) = (entry.id for entry in desk.entries() if entry.prompt == "prompt 2")
    page.evaluate("""() => {
      window.kept = document.querySelector("#queue [data-act=edit][data-name*='prompt-2']").cloneNode(true);
    }""")
    desk.cancel(second)
    shows(page, "1. prompt 1", "2. prompt 3", "prompt 2")
    page.evaluate("() => { document.querySelector('#queue .wan-host').append(window.kept); window.kept.click(); }")
    page.get_by_text("It does not wait any more, so nothing was changed.").wait_for()
    assert page.get_by_role("tab", name="Queue", exact=True).get_attribute("aria-selected") == "true"
    page.context.close()
