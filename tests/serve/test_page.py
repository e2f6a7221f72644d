"""The page in a real browser: generate, watch, cancel, resume, compare, restore; both languages, without a network."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.page_service import finished, missing, opened, running_service, tab

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

PROMPT = "a red circle moving right on a blue background"
SMALL = {"task": "t2v-demo", "prompt": PROMPT, "frame_num": 13, "base_seed": 7}
TABS = {"en": ("Generate", "Watch", "Queue", "Compare", "Runs"), "zh": ("生成", "观看", "队列", "比较", "记录")}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    with running_service(tmp_path_factory.mktemp("outputs")) as found:
        yield found


@pytest.fixture(scope="module")
def made(service: tuple[Any, str]) -> dict[str, Any]:
    """A plain run and one of half its cost, finished."""
    desk, _ = service
    entries = {"plain": desk.submit(SMALL), "half": desk.submit({**SMALL, "budget": 0.5})}
    return {name: finished(desk, entry.id) for name, entry in entries.items()}


def test_one_press_makes_a_video_that_is_watched_while_it_is_made(service: tuple[Any, str], page: Any) -> None:
    desk, address = service
    opened(page, address)
    page.get_by_label("Frames").fill("13")
    page.get_by_label("Seed").fill("3")
    page.get_by_role("button", name="Generate").click()
    page.locator("#screen img").wait_for()
    assert "preview.webp" in page.locator("#screen img").get_attribute("src")
    page.locator("#screen video").wait_for()
    assert page.locator("#progress .badge").inner_text() == "finished"
    assert page.evaluate("document.querySelector('#screen video').readyState") >= 0
    page.wait_for_function("document.querySelector('#screen video').videoWidth === 64")
    entry = desk.entries()[0]
    assert (entry.prompt, entry.frame_num, entry.seed, entry.state) == (PROMPT, 13, 3, "finished")
    assert f"run={entry.run_folder.name}" in page.url


def test_a_cancelled_video_keeps_its_steps_is_decoded_and_goes_on(service: tuple[Any, str], page: Any) -> None:
    desk, address = service
    opened(page, address)
    page.get_by_label("Frames").fill("49")
    page.get_by_label("Steps", exact=True).fill("50")
    page.get_by_label("Seed").fill("4")
    page.get_by_role("button", name="Generate").click()
    page.locator("#screen img").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Resume").wait_for()
    entry = desk.entries()[0]
    assert entry.state == "cancelled" and 0 < entry.step < 50
    assert "Its latents are kept" in page.locator("#progress").inner_text()
    page.get_by_role("button", name="Decode what is there").click()
    page.locator("#screen video[src*=after_step]").wait_for()
    page.wait_for_function("document.querySelector('#screen video').videoWidth === 64")
    assert list(entry.run_folder.glob("after_step_*.mp4"))
    page.get_by_role("button", name="Resume").click()
    page.locator("#progress .badge.running, #progress .badge.finished").wait_for()
    assert finished(desk, entry.id).state == "finished"


def test_a_run_is_compared_with_its_plain_run_side_by_side(
    service: tuple[Any, str], made: dict[str, Any], page: Any
) -> None:
    opened(page, service[1], f"/en/?run={made['half'].run_folder.name}")
    page.get_by_role("button", name="Compare with the plain run").click()
    page.locator("#comparison .duo-box").wait_for()
    text = page.locator("#comparison").inner_text()
    assert "The shortcut" in text and "dB" in text
    assert page.locator("#comparison .curves svg").count() == 4
    page.wait_for_function("document.querySelectorAll('.duo video')[0].currentTime > 0")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="one frame on").click()
    page.wait_for_function("!document.querySelector('.duo video').seeking")
    times = page.evaluate("[...document.querySelectorAll('.duo video')].map((one) => one.currentTime)")
    assert abs(times[0] - times[1]) < 0.02
    drawn = "[...document.querySelector('.duo canvas').getContext('2d').getImageData(0, 0, 64, 64).data]"
    page.wait_for_function(f"{drawn}.some((value, place) => place % 4 !== 3 && value > 0)")


def test_a_dropped_video_restores_its_settings(service: tuple[Any, str], made: dict[str, Any], page: Any) -> None:
    opened(page, service[1])
    page.locator("#drop input[type=file]").set_input_files(str(made["half"].file))
    page.get_by_text("The settings of video.mp4 are in the form.").wait_for()
    assert page.get_by_label("Seed").input_value() == "7"
    assert page.get_by_label("Frames").input_value() == "13"
    assert page.get_by_label("0.5 of the plain run").is_checked()


def test_a_dropped_file_of_another_program_is_refused_in_a_sentence(
    service: tuple[Any, str], page: Any, tmp_path: Path
) -> None:
    opened(page, service[1])
    other = tmp_path / "other.png"
    other.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    page.locator("#drop input[type=file]").set_input_files(str(other))
    sentence = page.locator(".fault").first
    sentence.wait_for()
    assert "other.png" in sentence.inner_text() and "/" not in sentence.inner_text().split("other.png")[0]


def test_a_single_shortcut_takes_the_place_of_the_budget(service: tuple[Any, str], page: Any) -> None:
    opened(page, service[1])
    page.get_by_text("Single shortcuts", exact=True).click()
    page.get_by_label("CFG truncation: last steps").fill("5")
    page.locator("#quote .figure b", has_text="0.88").wait_for()
    assert page.get_by_label("Single shortcuts by hand").is_checked() and page.locator(".fault").count() == 0


def test_what_cannot_be_made_is_said_at_its_field_as_one_types(service: tuple[Any, str], page: Any) -> None:
    opened(page, service[1])
    page.locator("#prompt textarea").fill("a red elephant moving right")
    note = page.locator("#prompt-note")
    note.get_by_text("elephant").wait_for()
    assert "It knows:" in note.inner_text() and "circle" in note.inner_text()
    page.get_by_label("Steps", exact=True).fill("0")
    fault = page.locator(".fault")
    fault.wait_for()
    assert "--sample_steps 0" in fault.inner_text()
    assert page.locator("#quote .figures").count() == 0
    page.get_by_label("Steps", exact=True).fill("10")
    page.locator("#quote .figures").wait_for()
    assert page.locator(".fault").count() == 0


def test_the_price_follows_the_choice_of_a_budget(service: tuple[Any, str], made: dict[str, Any], page: Any) -> None:
    opened(page, service[1])
    page.get_by_label("0.5 of the plain run").check()
    page.locator("#quote .figure b").first.get_by_text("0.50").wait_for()
    text = page.locator("#quote").inner_text()
    assert (
        re.search(r"Expected error against the plain run: PSNR \d+\.\d dB, worst clip", text)
        and "on this machine" in text
    )


@pytest.mark.parametrize("page", [{"locale": "zh-CN"}], indirect=True)
def test_a_chinese_browser_gets_the_chinese_page_and_a_way_to_the_english_one(
    service: tuple[Any, str], made: dict[str, Any], page: Any
) -> None:
    opened(page, service[1])
    assert "/zh/" in page.url and page.evaluate("document.documentElement.lang") == "zh-CN"
    for name in TABS["zh"]:
        tab(page, name)
    page.locator("#runs .badge", has_text="完成").first.wait_for()
    page.get_by_role("link", name="English").click()
    page.get_by_role("tab", name="Generate").wait_for()
    assert "/en/" in page.url


@pytest.mark.parametrize("language", TABS)
@pytest.mark.parametrize("page", [{"viewport": {"width": 390, "height": 844}}], indirect=True)
def test_nothing_is_wider_than_a_telephone(
    service: tuple[Any, str], made: dict[str, Any], page: Any, language: str
) -> None:
    opened(page, service[1], f"/{language}/")
    for name in TABS[language]:
        tab(page, name)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_the_keyboard_alone_makes_a_video_and_opens_it(service: tuple[Any, str], page: Any) -> None:
    desk, address = service
    before = len(desk.entries())
    opened(page, address)
    page.get_by_label("Frames").fill("1")
    page.get_by_label("Seed").fill("9")
    page.keyboard.press("Control+Enter")
    page.locator("#screen video").wait_for()
    assert len(desk.entries()) == before + 1
    page.get_by_role("tab", name="Watch").focus()
    for name in ("Queue", "Compare", "Runs"):
        page.keyboard.press("ArrowRight")
        page.locator("[role=tab][aria-selected=true]", has_text=name).wait_for()


def test_runs_are_found_by_words_and_opened_by_their_address(
    service: tuple[Any, str], made: dict[str, Any], page: Any
) -> None:
    opened(page, service[1])
    tab(page, "Runs")
    page.locator("#runs .card").first.wait_for()
    page.locator("#search textarea, #search input").press_sequentially("seed 7 budget")
    page.wait_for_function("document.querySelectorAll('#runs .card').length === 1")
    page.get_by_role("button", name="Open").click()
    page.locator("#screen video").wait_for()
    assert made["half"].run_folder.name in page.url
    page.reload()
    page.locator("#screen video").wait_for()
    assert made["half"].run_folder.name in page.locator("#screen video").get_attribute("src")


def test_no_other_file_and_no_other_host_can_be_reached_through_the_page(
    service: tuple[Any, str], made: dict[str, Any], page: Any
) -> None:
    address = service[1]
    opened(page, address)
    run = made["plain"].run_folder
    status = {
        path: page.request.get(address + path, max_redirects=0).status
        for path in (
            f"/en/gradio_api/file={run}/run.json",
            "/en/gradio_api/file=/etc/passwd",
            "/en/gradio_api/file=http://127.0.0.1:1/a.png",
            "/en/monitoring",
            f"/files/{run.name}/run.json",
            f"/files/{run.name}/%2e%2e/queue/000000.jsonl",
            "/files/queue/000000.jsonl",
        )
    }
    assert all(code in (403, 404) for code in status.values()), status
    assert page.request.get(f"{address}/files/{run.name}/video.mp4").status == 200


def test_a_browser_logs_in_with_the_token_and_has_the_page(browser: Any, tmp_path: Path) -> None:
    token = "0123456789-abcdef-token"
    with running_service(tmp_path / "outputs", token=token, has_workers=False) as (_, address):
        page = browser.new_context(locale="en-GB").new_page()
        page.goto(address)
        assert page.url == f"{address}/login"
        page.get_by_label("token").fill(token)
        page.get_by_role("button", name="Log in").click()
        page.locator("#quote .figures").wait_for()
        assert page.url == f"{address}/en/"
        stranger = browser.new_context().request
        for path in ("/en/config", "/files/run/video.mp4"):
            assert stranger.get(address + path, max_redirects=0).status == 401
        page.context.close()
