"""The image file that a video starts from: which tasks take one, its pixels, and its hash."""

import hashlib
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from wan.configs import TaskConfig
from wan.errors import InvalidInput
from wan.pictures import DECODING, MAX_PIXELS, as_shown, refuse_size
from wan.texts import check_path

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "DIB", "JPEG2000", "PPM", "TGA", "ICO", "PSD")
"""What is opened. Pillow knows more formats; one of them starts another program (EPS)."""
_ADVICE = "give a PNG, JPEG or WebP"
_MAX_BYTES = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An opened image file: ``image`` in RGB as a viewer shows it, what was changed, and the file's SHA-256."""

    image: "Image.Image"
    notices: tuple[str, ...]
    sha256: str


def image_path(config: TaskConfig, path: Path | None, *, is_needed: bool = True) -> Path | None:
    """``--image``; ``InvalidInput`` when the task takes none, or needs one and ``is_needed`` asks for it now."""
    if path is None and config.image == "needed" and is_needed:
        raise InvalidInput(f"--task {config.name} makes a video from an image; give one with --image FILE")
    if path is not None and config.image == "none":
        raise InvalidInput(f"--image {path} cannot be used: --task {config.name} starts from text alone; leave it out")
    return path


def open_image(path: Path) -> "Image.Image":
    """An image file as RGB, as a viewer shows it; ``InvalidInput`` when it is missing or no picture."""
    return open_picture(path).image


def open_picture(path: Path) -> Picture:
    """An image file with what is said of it; ``InvalidInput`` when it is missing, no picture, damaged or too large."""
    name = f"--image {path}"
    check_path(path, name="--image")
    return picture_of(_bytes_of(path, name), name=name)


def picture_of(content: bytes, *, name: str, most_pixels: int = MAX_PIXELS) -> Picture:
    """The same from the content of an image file; ``name`` begins every sentence."""
    from PIL import Image  # only here: most runs have no image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's: what matters is said by ``as_shown``
        try:
            Image.init()
            file = Image.open(BytesIO(content), formats=[one for one in FORMATS if one in Image.OPEN])
        except Image.DecompressionBombError as error:
            refuse_size(_declared_size(content), name=name)
            raise InvalidInput(f"{name} is too large ({error}); scale it down") from error
        except DECODING as error:
            raise InvalidInput(f"{name} cannot be read as a picture ({_what(content, error)}); {_ADVICE}") from error
        with file:
            refuse_size(file.size, name=name, most=most_pixels)
            image, notices = as_shown(file, name=name)
    return Picture(image=image, notices=notices, sha256=hashlib.sha256(content).hexdigest())


def _bytes_of(path: Path, name: str) -> bytes:
    """The whole file, read once; ``InvalidInput`` for what is no readable file."""
    try:
        if path.is_dir():
            raise InvalidInput(f"{name} is a folder; give an image file in it")
        if path.exists() and not path.is_file():
            raise InvalidInput(f"{name} is not a regular file; give an image file")
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidInput(f"{name} is too large: {path.stat().st_size:,} bytes, {_MAX_BYTES:,} are the most")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{name} cannot be read as a picture ({error.strerror or error}); {_ADVICE}") from error


def _declared_size(content: bytes) -> tuple[int, int]:
    """(width, height) in the header of an image that Pillow refuses to open for them; (1, 1) when it has none."""
    from PIL import Image

    for kind in FORMATS:
        factory, accept = Image.OPEN.get(kind, (None, None))
        if factory is None or (accept and not accept(content[:16])):
            continue
        try:
            return factory(BytesIO(content), "").size
        except DECODING:
            continue
    return 1, 1


def _what(content: bytes, error: Exception) -> str:
    """What a file is that Pillow does not take for a picture."""
    start = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not content:
        return "the file is empty"
    if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in content[:4096].lower()):
        return "it is an SVG drawing, which is not supported"
    if content[4:8] == b"ftyp":
        return _in_container(content[8:12])
    for beginning, what in _MAGIC.items():
        if start.startswith(beginning):
            return what
    if isinstance(error, SyntaxError | ValueError | EOFError):
        return f"it is damaged: {str(error).splitlines()[0]}" if str(error) else "it is damaged"
    return "it is text" if _is_text(content[:512]) else "its format is not known"


def _in_container(brand: bytes) -> str:
    if brand[:3] in (b"hei", b"hev", b"mif", b"msf"):
        return "it is a HEIC picture, which is not supported"
    return "it is a video, or a damaged AVIF"


_MAGIC = {
    b"<!doctype html": "it is a web page",
    b"<html": "it is a web page",
    b"version https://git-lfs": "it is a Git LFS pointer: run `git lfs pull` for the picture itself",
    b"%pdf": "it is a PDF, which is not supported",
    b"%!ps": "it is PostScript, which is not supported",
    b"\xff\x0a": "it is a JPEG XL picture, which is not supported",
    b"\x00\x00\x00\x0cjxl ": "it is a JPEG XL picture, which is not supported",
    b"pk\x03\x04": "it is a ZIP archive",
    b"\x1f\x8b": "it is a gzip archive",
    b"\x1a\x45\xdf\xa3": "it is a video",
    b"v/1\x01": "it is an OpenEXR picture, which is not supported",
    b"#?radiance": "it is a Radiance HDR picture, which is not supported",
    b"\x89png": "it is a damaged PNG",
    b"\xff\xd8\xff": "it is a damaged JPEG",
    b"gif8": "it is a damaged GIF",
}


def _is_text(beginning: bytes) -> bool:
    try:
        return beginning.decode("utf-8").isprintable() or b"\n" in beginning
    except UnicodeDecodeError:
        return False
