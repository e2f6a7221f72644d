"""The page in a real browser with other services than the demo model's: a picture, a LoRA, and runs made again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.goldens import input_image, materialise
from tests.serve.page_service import finished, missing, opened, running_service, tab
from tests.serve.test_adopting import left_behind
from wan.runs import load_record
from wan.weight_options import DEMO_LORA, Lora, WeightOptions, bundled

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

PROMPT = "a red circle moving right on a blue background"


@pytest.fixture(scope="module")
def few_steps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """A service of the demo model with its LoRA for four steps."""
    weights = WeightOptions(lora=(Lora(bundled(Path(DEMO_LORA))),))
    defaults = {"sample_solver": "euler", "sample_steps": 4, "sample_guide_scale": ["1.0"]}
    with running_service(tmp_path_factory.mktemp("outputs"), weights=weights, defaults=defaults) as found:
        yield found


def test_a_video_begins_with_the_picture_that_was_given(tmp_path: Path, page: Any) -> None:
    picture = tmp_path / "first.png"
    input_image().save(picture)
    models = {"i2v-A14B": materialise("i2v_A14B_unipc", tmp_path / "checkpoint")}
    with running_service(tmp_path / "outputs", models=models) as (desk, address):
        page.goto(f"{address}/en/")
        page.locator(".fault", has_text="--image").wait_for()  # without a picture there is no price
        page.get_by_label("Size").fill("32*32")
        page.get_by_label("Frames").fill("5")
        page.get_by_label("Steps", exact=True).fill("2")
        page.locator("#image input[type=file]").set_input_files(str(picture))
        page.locator("#quote .figures").wait_for()
        page.get_by_role("button", name="Generate").click()
        page.locator("#screen video").wait_for()
        (entry,) = desk.entries()
        assert entry.image is not None and entry.image.parent == entry.run_folder
        assert (
            load_record(entry.run_folder)["settings"]["image_sha256"]
            and entry.image.read_bytes() == picture.read_bytes()
        )
        page.get_by_role("button", name="Settings into the form").click()
        page.locator("#image img").wait_for()  # the picture is the run's own


def test_a_run_of_the_command_line_is_found_decoded_and_goes_on(tmp_path: Path, page: Any) -> None:
    run = left_behind(tmp_path)
    with running_service(tmp_path) as (desk, address):
        opened(page, address)
        tab(page, "Runs")
        card = page.locator("#runs .card")
        card.get_by_text("interrupted").wait_for()
        card.get_by_role("button", name="Decode").click()
        page.locator("#screen video[src*=after_step]").wait_for()
        page.get_by_role("button", name="Resume").click()
        page.locator("#progress .badge.finished").wait_for()
        (entry,) = desk.entries()
        assert entry.run_folder == run and len(load_record(run)["resumed"]) == 1


def test_the_form_has_the_services_defaults_and_a_run_is_made_again(few_steps: tuple[Any, str], page: Any) -> None:
    desk, address = few_steps
    opened(page, address)
    assert page.get_by_label("Steps", exact=True).input_value() == "4"
    assert page.get_by_label("Model").input_value().endswith(f"+ {DEMO_LORA}")
    assert "error unknown" in page.locator("#budget").inner_text()
    page.get_by_label("Seed").fill("5")
    page.get_by_label("Frames").fill("5")
    page.get_by_role("button", name="Generate").click()
    page.locator("#screen video").wait_for()
    page.locator("#details", has_text="high_noise_model.safetensors (1)").wait_for()
    first = desk.entries()[0]
    page.get_by_role("button", name="Settings into the form").click()
    page.get_by_text("are in the form").wait_for()
    page.get_by_role("button", name="Generate").click()
    page.wait_for_function(f"!location.search.includes({first.run_folder.name!r})")
    page.locator("#screen video").wait_for()
    again = finished(desk, desk.entries()[0].id)
    assert again.id != first.id and first.file is not None and again.file is not None
    assert again.file.read_bytes() == first.file.read_bytes()  # the same video, bit for bit
    assert len(load_record(again.run_folder)["settings"]["loras"]) == 2
