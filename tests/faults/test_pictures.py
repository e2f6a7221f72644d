"""Pictures are taken as a viewer shows them, every change is said, and what is no picture is named."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import wan
from tests.faults.conftest import Make, Refused
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.image_input import open_image, open_picture
from wan.pictures import MAX_PIXELS, as_shown
from wan.runs.latents import load_latents
from wan.runs.video import read_video_metadata

ROWS, COLUMNS = np.mgrid[0:64, 0:96]
COLOURS = np.stack([255 * COLUMNS / 95, 255 * ROWS / 63, 60 + 0 * ROWS], axis=-1).astype(np.uint8)
RGB = Image.fromarray(COLOURS)
GREY16 = np.linspace(0, 65535, 96)[None].repeat(64, 0).astype(np.uint16)
HOLE = np.zeros((64, 96), dtype=np.uint8)
HOLE[16:48, 24:72] = 255


def saved(folder: Path, name: str, image: Image.Image, **how: object) -> Path:
    image.save(folder / name, **how)
    return folder / name


def pixels(path: Path) -> np.ndarray:
    return np.asarray(open_image(path))


def png(path: Path, header: tuple[int, int, int, int], rows: bytes, *extra: tuple[bytes, bytes]) -> Path:
    """A PNG by hand: width, height, bits and colour type, then raw rows and further chunks."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    first = chunk(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0))
    middle = b"".join(chunk(*one) for one in extra)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + first + middle + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


def by_row(values: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in values)


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    return data


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tiff", "a.jpg"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_orientation_of_exif_is_followed(tmp_path: Path, name: str, orientation: int) -> None:
    lossless = {"lossless": True} if name == "a.webp" else {"quality": 100, "subsampling": 0} if name == "a.jpg" else {}
    picture = open_picture(saved(tmp_path, name, RGB, exif=exif(orientation), **lossless))
    ways = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}
    turned = RGB.transpose(ways[orientation]) if orientation > 1 else RGB
    assert picture.image.size == turned.size
    difference = np.abs(np.asarray(picture.image, dtype=int) - np.asarray(turned, dtype=int))
    assert difference.max() <= (4 if name == "a.jpg" else 0)
    assert [f"orientation ({orientation})" in notice for notice in picture.notices] == [True] * (orientation > 1)


def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path: Path) -> None:
    for orientation in (0, 9, 77):
        assert (pixels(saved(tmp_path, "a.png", RGB, exif=exif(orientation))) == COLOURS).all()


def test_sixteen_bits_of_grey_are_the_same_picture_as_their_upper_eight(tmp_path: Path) -> None:
    eight = pixels(saved(tmp_path, "8.png", Image.fromarray((GREY16 >> 8).astype(np.uint8))))
    for name in ("16.png", "16.tiff"):
        picture = open_picture(saved(tmp_path, name, Image.fromarray(GREY16)))
        assert (np.asarray(picture.image) == eight).all() and "16-bit grey" in picture.notices[0]


def test_a_tiff_that_begins_with_white_is_not_shown_inverted(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.tiff", Image.fromarray(GREY16), tiffinfo={262: 0})
    with Image.open(path) as image:
        assert image.mode.startswith("I;16") and image.tag_v2[262] == 0
    assert pixels(path)[0, 0, 0] == 255 and pixels(path)[0, -1, 0] == 0


def test_sixteen_bits_of_colour_and_their_alpha(tmp_path: Path) -> None:
    colour = png(tmp_path / "rgb.png", (96, 64, 16, 2), by_row((COLOURS.astype(np.uint16) * 257).astype(">u2")))
    assert (pixels(colour) == COLOURS).all()
    assert "16 bits per channel" in open_picture(colour).notices[0]
    named = png(tmp_path / "g.png", (96, 64, 16, 0), by_row(GREY16.astype(">u2")), (b"tRNS", b"\0\0"))
    assert pixels(named)[0, 0, 0] == 255 and pixels(named)[0, 1, 0] == GREY16[0, 1] >> 8


@pytest.mark.parametrize(
    ("low", "high", "first", "last"), [(0, 1, 0, 255), (0.5, 1, 128, 255), (0, 255, 0, 255), (-3, 40, 0, 255)]
)
def test_floats_are_brought_into_range_and_the_range_is_said(
    tmp_path: Path, low: float, high: float, first: int, last: int
) -> None:
    values = np.linspace(low, high, 96)[None].repeat(64, 0).astype(np.float32)
    picture = open_picture(saved(tmp_path, "a.tiff", Image.fromarray(values)))
    shown = np.asarray(picture.image)
    assert (shown[0, 0, 0], shown[0, -1, 0]) == (first, last)
    assert f"from {low:g} to {high:g}" in picture.notices[0]


def test_pixels_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    values = np.full((8, 8), np.nan, dtype=np.float32)
    with pytest.raises(InvalidInput, match="pixels that are not finite"):
        open_image(saved(tmp_path, "a.tiff", Image.fromarray(values)))


def test_what_is_hidden_by_alpha_stays_hidden(tmp_path: Path) -> None:
    hidden = COLOURS.copy()
    hidden[HOLE == 0] = (0, 255, 0)
    expected = COLOURS.copy()
    expected[HOLE == 0] = 255
    picture = open_picture(saved(tmp_path, "a.png", Image.fromarray(np.dstack([hidden, HOLE]))))
    assert (np.asarray(picture.image) == expected).all()
    assert "transparent parts are laid on white" in picture.notices[0]
    opaque = open_picture(saved(tmp_path, "b.png", Image.fromarray(np.dstack([COLOURS, HOLE | 255]))))
    assert (np.asarray(opaque.image) == COLOURS).all() and opaque.notices == ()


@pytest.mark.parametrize(
    "image", [Image.fromarray(np.dstack([COLOURS[..., 0], HOLE]), "LA"), RGB.convert("P"), RGB, RGB.convert("L")]
)
def test_every_kind_of_transparency_is_flattened(tmp_path: Path, image: Image.Image) -> None:
    named = {"P": image.getpixel((0, 0)), "RGB": (0, 0, 60), "L": image.convert("L").getpixel((0, 0))}.get(image.mode)
    how = {} if named is None else {"transparency": named}
    picture = open_picture(saved(tmp_path, "a.png", image, **how))
    assert np.asarray(picture.image)[0, 0].tolist() == [255, 255, 255]
    assert any("transparent" in notice for notice in picture.notices)


def test_colours_go_through_their_profile(tmp_path: Path) -> None:
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = open_picture(saved(tmp_path, "same.png", RGB, icc_profile=plain))
    assert (np.asarray(same.image) == COLOURS).all() and same.notices == ()
    # the columns of red and blue change places: what was red is shown blue
    swapped = plain.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")
    picture = open_picture(saved(tmp_path, "swapped.png", RGB, icc_profile=swapped))
    assert np.abs(np.asarray(picture.image, dtype=int) - COLOURS[..., ::-1]).max() <= 3
    assert "converted from the profile" in picture.notices[0]


def test_a_profile_that_cannot_be_used_is_ignored_and_said(tmp_path: Path) -> None:
    broken = open_picture(saved(tmp_path, "a.png", RGB, icc_profile=b"no profile"))
    assert (np.asarray(broken.image) == COLOURS).all() and "cannot be used" in broken.notices[0]
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    unfit = open_picture(saved(tmp_path, "b.png", RGB.convert("L"), icc_profile=srgb))
    assert "does not fit L; it is ignored" in unfit.notices[0]


def test_the_gamma_of_a_png_is_followed(tmp_path: Path) -> None:
    linear = png(tmp_path / "a.png", (96, 64, 8, 2), by_row(COLOURS), (b"gAMA", struct.pack(">I", 100000)))
    usual = png(tmp_path / "b.png", (96, 64, 8, 2), by_row(COLOURS), (b"gAMA", struct.pack(">I", 45455)))
    assert pixels(linear)[0, 0, 2] == round(255 * (60 / 255) ** (1 / 2.2))
    assert (pixels(usual) == COLOURS).all() and not open_picture(usual).notices


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "RGBX", "RGBa", "La", "PA"])
def test_every_mode_becomes_rgb_and_a_second_time_changes_nothing(mode: str) -> None:
    shown, _ = as_shown(Image.new(mode, (8, 8)), name="img")
    again, notices = as_shown(shown, name="img")
    assert shown.mode == again.mode == "RGB" and notices == () and shown.info == {}
    assert (np.asarray(shown) == np.asarray(again)).all()


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tiff", "a.png"])
def test_the_first_frame_is_taken_and_said(tmp_path: Path, name: str) -> None:
    picture = open_picture(saved(tmp_path, name, RGB, save_all=True, append_images=[RGB.rotate(180), RGB.rotate(90)]))
    assert "it holds 3 pictures or frames, number 1 is used" in picture.notices[0]
    assert np.asarray(picture.image)[0, 0].max() < 100


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.png", b"", "the file is empty"),
        ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing, which is not supported"),
        ("a.heic", b"\0\0\0\x18ftypheic" + bytes(40), "a HEIC picture, which is not supported"),
        ("a.jpg", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("a.png", b"<html>404</html>", "a web page"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "PostScript, which is not supported"),
        ("a.pdf", b"%PDF-1.7\n", "a PDF, which is not supported"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(8), "a damaged PNG"),
        ("a.jpg", b"some words\n", "it is text"),
        ("a.jpg", bytes(range(200, 250)), "its format is not known"),
    ],
)
def test_what_is_no_picture_is_called_what_it_is(
    tmp_path: Path, refused: Refused, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    for end in ([], ["--dry_run"]):
        sentence = refused("generate", "--task", "i2v-A14B", "--image", str(tmp_path / name), *end)
        assert said in sentence and name in sentence


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".gif", ".tiff"])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    content = saved(tmp_path, f"a{suffix}", RGB).read_bytes()
    (tmp_path / f"b{suffix}").write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidInput, match=r"damaged or cut short|it is a damaged|it is damaged|not known"):
        open_image(tmp_path / f"b{suffix}")


def test_too_large_is_called_too_large(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = png(tmp_path / "a.png", (20000, 20000, 1, 0), b"")
        with pytest.raises(InvalidInput, match=rf"too large: 20000\*20000 are 400,000,000 pixels, and {MAX_PIXELS:,}"):
            open_image(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is a folder"):
        open_image(tmp_path)
    with pytest.raises(InvalidInput, match="is not a regular file"):
        open_image(Path("/dev/null"))
    with pytest.raises(InvalidInput, match=r"nothing\.png cannot be read as a picture \(No such file"):
        open_image(tmp_path / "nothing.png")
    with pytest.raises(InvalidInput, match=r"0\*5 pixels and shows nothing"):
        as_shown(Image.new("RGB", (0, 5)), name="img")


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, "a.png", RGB)

    def forbidden(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    with pytest.raises(InvalidInput, match=r"a\.png cannot be read as a picture \(Permission denied\)"):
        open_image(path)


def test_a_turned_picture_makes_the_video_of_the_upright_one(tmp_path: Path, i2v: Path, make: Make) -> None:
    turned = saved(tmp_path, "turned.png", RGB, exif=exif(6))
    upright = saved(tmp_path, "upright.png", RGB.transpose(Image.Transpose.ROTATE_270))
    first, second = (
        make(i2v, "i2v-A14B", "--prompt", "cat", "--image", str(path), "--overwrite") for path in (turned, upright)
    )
    latents = [load_latents(one.folder / "latents.safetensors") for one in (first, second)]
    assert latents[0].equal(latents[1])
    notice = next(line for line in first.said.splitlines() if "turned upright" in line)
    assert notice in first.record["adjustments"]
    assert "turned upright" not in second.said
    # the picture is known again by its hash, in the record and in the video
    hashes = [one.record["settings"]["image_sha256"] for one in (first, second)]
    assert hashes[0] != hashes[1]
    assert read_video_metadata(first.folder / "video.mp4")["image_sha256"] == hashes[0] == open_picture(turned).sha256


def test_generate_takes_a_pil_image_as_the_command_takes_its_file(i2v: Path, tmp_path: Path) -> None:
    pipeline = wan.WanI2V(WAN_CONFIGS["i2v-A14B"], str(i2v), dtype="float32")
    how = {"max_area": 64 * 48, "frame_num": 5, "sampling_steps": 1, "seed": 1}
    turned = Image.open(saved(tmp_path, "turned.png", RGB, exif=exif(6)))
    with turned, pytest.warns(UserWarning, match="img: turned upright"):
        video = pipeline.generate("cat", turned, **how)
    upright = RGB.transpose(Image.Transpose.ROTATE_270)
    assert video.shape[2] > video.shape[3]
    assert video.equal(pipeline.generate("cat", upright, **how))
