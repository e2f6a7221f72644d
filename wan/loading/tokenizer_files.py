"""Whether a tokenizer's files make a tokenizer: parsed by the library that will run them, before any weight is read."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from wan.loading.declared import MODEL_CLASSES, code_problems
from wan.loading.inside import outside_problem
from wan.loading.problems import Problem
from wan.untrusted.json_text import MAX_BYTES, parse_json, read_bytes, read_json_object
from wan.untrusted.refusal import MALFORMED, Refused, reason_of, shown
from wan.untrusted.regular import is_regular, why_unusable

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
_OPTIONAL_JSON = ("special_tokens_map.json", "added_tokens.json", "config.json")
_SENTENCEPIECE = "spiece.model"
_PROBE = "a cat, 一只猫, ☃"
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3  # fields of a sentencepiece model
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types of protobuf


def tokenizer_problems(folder: Path, *, ckpt_dir: Path) -> Iterator[Problem]:
    """What keeps the tokenizer from loading or from making ids that the text encoder knows how to read."""
    if not folder.is_dir():
        yield Problem(f"{folder} is missing, the tokenizer's folder; download it again")
        return
    for path in sorted(folder.iterdir()):
        if not path.is_dir() and (reason := why_unusable(path)):
            yield Problem(f"{path} cannot be used as a file of the tokenizer: {reason}; download it again")
            return
        if sentence := outside_problem(path, ckpt_dir):
            yield Problem(sentence)
    yield from (Problem(sentence) for sentence in _file_problems(folder))


def vocabulary_size(folder: Path) -> int:
    """One more than the largest id that the tokenizer makes; ``Refused`` when its tokenizer.json makes none."""
    path = folder / TOKENIZER_FILES[0]
    state = path.stat()
    return _parsed(path, state.st_size, state.st_mtime_ns)


def _file_problems(folder: Path) -> Iterator[str]:
    tokenizer, config = (folder / name for name in TOKENIZER_FILES)
    for path in (tokenizer, config):
        if not is_regular(path):
            yield f"{path} is missing, a file of the tokenizer; download it again"
    if is_regular(tokenizer):
        try:
            vocabulary_size(folder)
        except Refused as error:
            yield _not_the_file(tokenizer, error)
    for path in (config, *(folder / name for name in _OPTIONAL_JSON)):
        if is_regular(path):
            yield from _json_problems(path)
    sentencepiece = folder / _SENTENCEPIECE
    if is_regular(sentencepiece):
        try:
            check_sentencepiece(read_bytes(sentencepiece))
        except Refused as error:
            yield _not_the_file(sentencepiece, error)


def _json_problems(path: Path) -> Iterator[str]:
    try:
        content = read_json_object(path)
    except Refused as error:
        yield _not_the_file(path, error)
        return
    yield from code_problems(content, path)
    kind = content.get("tokenizer_class")
    if kind is not None and (not isinstance(kind, str) or kind not in MODEL_CLASSES["tokenizer"]):
        known = ", ".join(sorted(MODEL_CLASSES["tokenizer"]))
        yield f"{path} names the tokenizer {shown(kind)!r}, and Wan's are {known}; download it again"


def _not_the_file(path: Path, error: Refused) -> str:
    size = path.stat().st_size
    return f"{path} is not the tokenizer's file but {size} bytes of something else: {error}; download it again"


@lru_cache(maxsize=16)
def _parsed(path: Path, size: int, modified_ns: int) -> int:
    """Read once for every state of the file: umT5's has 17 MB."""
    from tokenizers import Tokenizer  # a small library, without torch

    content = read_bytes(path, max_bytes=2 * MAX_BYTES)
    if not content.startswith(b"{"):
        raise Refused("it does not begin with {")
    try:
        tokenizer = Tokenizer.from_buffer(content)
        tokenizer.no_padding()  # a file may ask for any length
        tokenizer.no_truncation()
        ids = tokenizer.encode(_PROBE).ids
        largest = max(tokenizer.get_vocab().values(), default=-1)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises plain Exception, and for a panic what is no Exception at all
        parse_json(content)  # says better what is wrong, if it is the JSON
        raise Refused(f"it makes no tokenizer ({reason_of(error)})") from error
    if not ids or largest < 0:
        raise Refused("it makes no tokens of a text")
    return largest + 1


def check_sentencepiece(content: bytes) -> None:
    """``Refused`` unless the bytes are a whole sentencepiece model: pieces, how it was trained, how it normalises.

    The format is a protobuf message whose pieces come first: one that was cut lacks what follows them.
    """
    if not content:
        raise Refused("it is empty")
    found: set[int] = set()
    position = 0
    try:
        while position < len(content):
            field, position = _field(content, position)
            found.add(field)
    except MALFORMED as error:
        raise Refused("it is no whole sentencepiece model") from error
    if missing := [name for name, field in _PARTS.items() if field not in found]:
        raise Refused(f"it is no whole sentencepiece model: it lacks its {' and '.join(missing)}")


_PARTS = {"pieces": _PIECES, "training settings": _TRAINER, "normalisation": _NORMALIZER}


def _field(content: bytes, position: int) -> tuple[int, int]:
    """(number of the field at ``position``, position after it); IndexError or Refused beyond the end."""
    tag, position = _varint(content, position)
    field, wire = tag >> 3, tag & 7
    if wire == _VARINT:
        _, position = _varint(content, position)
    elif wire in (_FIXED64, _FIXED32):
        position += 8 if wire == _FIXED64 else 4
    elif wire == _LENGTH:
        length, position = _varint(content, position)
        position += length
    else:
        raise Refused("it is no protobuf message")
    if position > len(content) or not field:
        raise Refused("it is cut short")
    return field, position


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
    raise Refused("it is no protobuf message")
