"""Image flags and arguments: which tasks take an image, what is refused, and what an area becomes."""

from pathlib import Path

import pytest
from PIL import Image

from wan.errors import InvalidInput
from wan.job import prepare
from wan.request import parse_request


@pytest.fixture
def image(tmp_path: Path) -> str:
    Image.new("RGB", (1280, 720)).save(tmp_path / "boat.png")
    return str(tmp_path / "boat.png")


def test_an_image_task_needs_an_image() -> None:
    with pytest.raises(InvalidInput, match="give one with --image FILE"):
        prepare(parse_request(["--task", "i2v-A14B"]))


def test_a_text_task_takes_none(image: str) -> None:
    with pytest.raises(InvalidInput, match="starts from text alone; leave it out"):
        prepare(parse_request(["--task", "t2v-A14B", "--image", image]))


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "boat.png"
    if content:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"boat\.png cannot be read as a picture"):
        prepare(parse_request(["--task", "i2v-A14B", "--image", str(path)]))


@pytest.mark.parametrize(
    ("task", "size", "expected"),
    [
        ("i2v-A14B", "1280*720", (1280, 720)),
        ("i2v-A14B", "480*832", (832, 464)),
        ("i2v-14B", "832*480", (832, 464)),
        ("ti2v-5B", "1280*704", (1248, 704)),
    ],
)
def test_size_is_an_area(image: str, task: str, size: str, expected: tuple[int, int]) -> None:
    options = prepare(parse_request(["--task", task, "--image", image, "--size", size]))
    assert (options.geometry.width, options.geometry.height) == expected
    assert f"the video is {expected[0]}*{expected[1]}" in " ".join(options.notices)


def test_an_image_is_optional_for_ti2v() -> None:
    options = prepare(parse_request(["--task", "ti2v-5B"]))
    assert options.image is None and (options.geometry.width, options.geometry.height) == (1280, 704)
