"""Prompts and paths as text: what is not valid UTF-8, or cannot be handed on, is refused before anything is loaded."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from wan.errors import InvalidInput

MAX_PROMPT = 20_000
"""Characters. A model reads 512 tokens, about 2,500 letters; what is longer is no prompt but a file by mistake."""
_SHOWN = 40
_NAME_BYTES, _PATH_BYTES = 255, 4000
"""What file systems take; a few bytes are left for names of our own."""


def checked_prompt(text: str, *, name: str) -> str:
    """The prompt; ``InvalidInput``, beginning with ``name``, for one that cannot be encoded, recorded and replayed.

    Bytes that the terminal's encoding could not read are read as UTF-8 where they are that.
    """
    if not isinstance(text, str):
        raise InvalidInput(f"{name} is a {type(text).__name__} and must be a text")
    if "\0" in text:
        raise InvalidInput(f"{name} {shown(text)} has a NUL character, which no command line can hold; take it out")
    if len(text) > MAX_PROMPT:
        raise InvalidInput(
            f"{name} {shown(text)} has {len(text):,} characters, and {MAX_PROMPT:,} are the most; a model reads about "
            "the first 2,500"
        )
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", errors="surrogateescape").decode("utf-8")
    except UnicodeError:
        raise InvalidInput(
            f"{name} {shown(text)} is not valid UTF-8: it holds bytes of another encoding; set the terminal to UTF-8, "
            "or save the file as UTF-8"
        ) from None


def check_path(path: Path | None, *, name: str) -> None:
    """``InvalidInput`` for a path that records, mp4 files and libraries written in other languages cannot hold."""
    if path is None:
        return
    text = str(path)
    if "\0" in text:
        raise InvalidInput(f"{name} {shown(text)} has a NUL character, which no path can hold; take it out")
    try:
        os.fsencode(text).decode("utf-8")
    except UnicodeError:
        raise InvalidInput(
            f"{name} {shown(text, whole=True)} is not valid UTF-8, and records cannot hold such a path; rename it"
        ) from None


def path_of(text: str) -> Path:
    """A path of a command line; ArgumentTypeError for one that no system has, or that no record can hold."""
    path = Path(text)
    try:
        check_path(path, name="the path")
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    if longest > _NAME_BYTES or len(os.fsencode(path)) > _PATH_BYTES:
        raise argparse.ArgumentTypeError(
            f"the path {shown(text)} is too long: names have at most {_NAME_BYTES} bytes, paths {_PATH_BYTES}"
        )
    return path


path_of.__name__ = "Path"


def path_text(text: str) -> str:
    """The same, for a flag that is a name or a path."""
    path_of(text)
    return text


def prompts_from_file(path: Path, *, name: str) -> list[str]:
    """The prompts of a UTF-8 text file, one per line; empty lines and lines that start with # are left out.

    ``InvalidInput`` for a file that cannot be read, and for a line that is no prompt.
    """
    check_path(path, name=name)
    if path.exists() and not path.is_file():
        raise InvalidInput(f"{name} {path} is not a file; give a text file with one prompt per line")
    try:
        lines: Sequence[str] = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{name} {path} cannot be read as UTF-8 text ({error}); give a text file") from error
    return [
        checked_prompt(line.strip(), name=f"{name} {path}, line {number}:")
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


def encodable(text: str) -> str:
    r"""The text with lone surrogates written as ``\udcXX``: what other libraries can take."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def shown(text: str, *, whole: bool = False) -> str:
    """The beginning of a text in quotes, for a sentence."""
    is_cut = len(text) > _SHOWN and not whole
    return ascii(text[:_SHOWN])[:-1] + "...'" if is_cut else ascii(text)
