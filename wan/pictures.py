"""A picture as a viewer shows it: upright, eight bits, on white, in sRGB; what had to be done is said.

One function for the file of ``--image`` and for a PIL image that is given to ``generate``.
"""

import struct
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

from wan.errors import InvalidInput

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 178_956_970
"""What Pillow takes for a decompression bomb: two GB as floats."""
MAX_ASPECT = 4.0
"""Models were made for 16:9; what is longer than this is said."""
DECODING = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, AttributeError),
    *(MemoryError, RuntimeError, AssertionError, struct.error, zlib.error),
)
"""What Pillow's decoders raise for damaged files."""
_HIGH_BYTE = 8
_ORIENTATION = 0x0112
_SAME_COLOUR = 2
"""Levels of 255: a profile that changes no channel by more is sRGB itself."""
_SRGB_GAMMA = 1 / 2.2


def as_shown(image: "Image.Image", *, name: str) -> tuple["Image.Image", tuple[str, ...]]:
    """The picture in RGB without metadata, and a notice for everything that was changed or left out.

    ``name`` begins every sentence ("--image cat.png"). A picture that is as it should be comes back with equal pixels
    and no notice, also a second time. Raises ``InvalidInput`` for one that is too large, empty or damaged.
    """
    from PIL import Image

    refuse_size(image.size, name=name)
    has_16_bits, tags = _has_16_bits_per_channel(image), getattr(image, "tag_v2", {})
    try:
        notes = _frames(image)
        turned_by_pillow = _orientation(image) if image.format == "TIFF" else 1
        image.load()
        image = _upright(image, notes, before=turned_by_pillow)
    except (*DECODING, Image.DecompressionBombError) as error:
        raise InvalidInput(f"{name} is damaged or cut short ({_first_line(error)}); save it again") from error
    if has_16_bits:
        notes.append("16 bits per channel, the upper 8 are used")
    info: dict[str, Any] = {str(key): value for key, value in image.info.items()}
    image = _eight_bits(image, notes, tags, name=name)
    image = _on_white(image, notes)
    image = _in_srgb(image, info, notes)
    if max(image.size) > MAX_ASPECT * min(image.size):
        notes.append(f"{image.width}*{image.height} pixels are far from the aspects that models were made for; crop it")
    image.info = {}
    return image, tuple(f"{name}: {note}" for note in notes)


def refuse_size(size: tuple[int, int], *, name: str, most: int = MAX_PIXELS) -> None:
    """``InvalidInput`` for a picture without pixels, or with more than ``most``, which is what can be handled."""
    pixels = size[0] * size[1]
    if pixels < 1:
        raise InvalidInput(f"{name} has {size[0]}*{size[1]} pixels and shows nothing; give another picture")
    if pixels > most:
        raise InvalidInput(
            f"{name} is too large: {size[0]}*{size[1]} are {pixels:,} pixels, and {most:,} are the most; scale "
            "it down, a video has at most about two million"
        )


def _frames(image: "Image.Image") -> list[str]:
    """What is said of a file with several pictures."""
    count = getattr(image, "n_frames", 1) if image.format != "PSD" else 1  # those are layers of one picture
    return [f"it holds {count} pictures or frames, number {image.tell() + 1} is used"] if count > 1 else []


def _has_16_bits_per_channel(image: "Image.Image") -> bool:
    """Colours of 16 bits, of which Pillow reads the upper byte while it loads."""
    tiles: Any = getattr(image, "tile", None) or []
    raw_modes = [str(tile[3]) for tile in tiles if len(tile) > 3]
    return image.mode in ("RGB", "RGBA", "LA") and any(";16" in raw for raw in raw_modes)


def _orientation(image: "Image.Image") -> int:
    """1 (upright) to 8, as EXIF counts; 1 for what is none of these."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def _upright(image: "Image.Image", notes: list[str], *, before: int) -> "Image.Image":
    """``before``: the orientation of a TIFF, which Pillow turns when it loads it."""
    from PIL import ImageOps

    try:
        orientation = max(before, _orientation(image))
        turned = ImageOps.exif_transpose(image)
    except DECODING as error:
        notes.append(f"its EXIF data cannot be read ({_first_line(error)}) and is ignored")
        return image.copy()
    if orientation > 1:
        notes.append(f"turned upright, as its EXIF orientation ({orientation}) says")
    return turned


def _eight_bits(image: "Image.Image", notes: list[str], tags: Any, *, name: str) -> "Image.Image":
    """Grey of more than eight bits, and floats, as eight bits; every other mode as it is. ``tags``: a TIFF's."""
    import numpy as np
    from PIL import Image

    if image.mode not in ("F", "I") and not image.mode.startswith("I;"):
        return image
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise InvalidInput(f"{name} has pixels that are not finite; save it as a PNG with 8 bits")
    if image.mode.startswith("I;"):
        values = _sixteen_bits(values, tags)
        notes.append("16-bit grey, the upper 8 bits are used")
        return _with_alpha(Image.fromarray((values >> _HIGH_BYTE).astype(np.uint8)), image)
    low, high = float(values.min()), float(values.max())
    black, white = _range(low, high, is_float=image.mode == "F")
    kind = "floating-point" if image.mode == "F" else "32-bit"
    notes.append(f"{kind} grey from {low:g} to {high:g}: {black:g} is taken for black and {white:g} for white")
    scaled = (values.astype(np.float64) - black) / ((white - black) or 1.0) * 255.0
    return Image.fromarray(np.rint(scaled.clip(0, 255)).astype(np.uint8))


def _with_alpha(grey: "Image.Image", image: "Image.Image") -> "Image.Image":
    """A PNG of 16-bit grey can name one value that is transparent."""
    import numpy as np
    from PIL import Image

    if isinstance(value := image.info.get("transparency"), int):
        grey.putalpha(Image.fromarray(np.where(np.asarray(image) == value, 0, 255).astype(np.uint8)))
    return grey


def _sixteen_bits(values: Any, tags: Any) -> Any:
    """Values up to 65,535: what a TIFF says of its bits, and whether it begins with white."""
    bits = tags.get(258, 16)
    used = min(int(bits[0] if isinstance(bits, tuple) else bits), 16)
    values = values.astype("uint32") << (16 - used)
    return 65535 - values if tags.get(262) == 0 else values


def _range(low: float, high: float, *, is_float: bool) -> tuple[float, float]:
    """Black and white by the smallest usual range that holds all values; otherwise the values' own."""
    usual = ((0.0, 1.0), (0.0, 255.0), (0.0, 65535.0)) if is_float else ((0.0, 255.0), (0.0, 65535.0))
    return next(((black, white) for black, white in usual if black <= low and high <= white), (low, high))


def _on_white(image: "Image.Image", notes: list[str]) -> "Image.Image":
    from PIL import Image

    if image.mode in ("PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert({"La": "LA"}.get(image.mode, "RGBA"))
    if image.mode not in ("RGBA", "LA"):
        return image
    alpha = image.getchannel("A")
    colours = image.convert(image.mode.removesuffix("A"))
    if alpha.getextrema() == (255, 255):
        return colours
    notes.append("its transparent parts are laid on white")
    white = Image.new(colours.mode, image.size, "white")
    return Image.composite(colours, white, alpha)


def _in_srgb(image: "Image.Image", info: dict[str, Any], notes: list[str]) -> "Image.Image":
    """RGB, through the picture's colour profile where it has one that fits."""
    image = image.convert({"P": "RGB", "1": "L"}.get(image.mode, image.mode))
    profile = info.get("icc_profile")
    converted = _by_profile(image, profile, notes) if profile else None
    if converted is not None:
        return converted
    if image.mode in ("CMYK", "LAB", "HSV", "YCbCr"):
        notes.append(f"its {image.mode} colours are converted to RGB without a profile")
    image = image.convert("RGB")
    gamma = info.get("gamma")
    if not profile and "srgb" not in info and isinstance(gamma, float) and gamma > 0:
        return _by_gamma(image, gamma, notes)
    return image


def _by_profile(image: "Image.Image", profile: bytes, notes: list[str]) -> "Image.Image | None":
    """The picture in sRGB; None, and a notice, where the profile is broken or of other colours than the picture."""
    import numpy as np
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}[space]
        fits = image.mode == mode or (mode == "RGB" and image.mode in ("YCbCr", "HSV"))
        if not fits:
            notes.append(f"its colour profile is for {space} and does not fit {image.mode}; it is ignored")
            return None
        name = ImageCms.getProfileDescription(source).strip()
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(source))
        plain = image.convert(mode)
        srgb = ImageCms.createProfile("sRGB")
        made: Any = ImageCms.profileToProfile(plain, source, srgb, renderingIntent=intent, outputMode="RGB")
    except (*DECODING, ImageCms.PyCMSError) as error:
        notes.append(f"its colour profile cannot be used ({_first_line(error)}) and is ignored")
        return None
    before, after = (np.asarray(one.convert("RGB"), dtype=np.int16) for one in (plain, made))
    if mode != "CMYK" and np.abs(before - after).max() <= _SAME_COLOUR:
        return plain.convert("RGB")
    notes.append(f"its colours are converted from the profile {name!r} to sRGB")
    return made


def _by_gamma(image: "Image.Image", gamma: float, notes: list[str]) -> "Image.Image":
    """A PNG without a profile can say by which exponent its values stand for light."""
    table = [round(255 * (value / 255) ** (_SRGB_GAMMA / gamma)) for value in range(256)]
    if max(abs(made - value) for value, made in enumerate(table)) <= _SAME_COLOUR:
        return image
    notes.append(f"its values have gamma {gamma:g} and are converted to that of sRGB")
    return image.point(table * 3)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
