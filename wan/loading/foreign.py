"""Weight files of other formats, recognised by their first bytes, tensor names and types, and what to do with them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wan.commands import program
from wan.loading.foreign_names import FOREIGN_NAMES
from wan.untrusted.refusal import Refused, shown
from wan.untrusted.regular import open_regular
from wan.untrusted.tensor_entry import WEIGHT_DTYPES, TensorEntry

_OFFICIAL = f"use the official weights (`{program('download')} --task ...`)"
_HEAD_BYTES = 512
_LENGTH_BYTES = 8
_NOTE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Foreign:
    """``kind`` is a short word to compare (gguf, fp8-scaled, lora, ...); ``what``, ``verdict`` and ``advice`` are for a
    sentence."""

    kind: str
    what: str
    advice: str = _OFFICIAL
    verdict: str = "which this version cannot load"

    def sentence(self, path: Path) -> str:
        """What the file is and what to do; it is not damaged, so it is not to be downloaded again."""
        return f"{path} is {self.what}, {self.verdict}; {self.advice}"


_ALONE = "which holds a denoiser and nothing else"
_BESIDE = (
    "give it as --denoiser_high, --denoiser_low or --denoiser, beside a --ckpt_dir with config files, VAE, text "
    "encoder and tokenizer"
)
_BARE_PICKLE = Foreign("pickle", "a bare pickle (reading it can run any program)")
_FIRST_BYTES: tuple[tuple[bytes, Foreign], ...] = (
    (b"GGUF", Foreign("gguf", "a GGUF file (quantised for llama.cpp and ComfyUI-GGUF)", _BESIDE, _ALONE)),
    (b"lmgg", Foreign("ggml", "a GGML file (quantised, of an old format)")),
    (b"tjgg", Foreign("ggml", "a GGML file (quantised, of an old format)")),
    (b"\x89HDF\r\n\x1a\n", Foreign("hdf5", "an HDF5 file (Keras)")),
    (b"\x93NUMPY", Foreign("numpy", "a numpy array")),
    (b"\x1f\x8b", Foreign("archive", "a gzip archive", "unpack it, and give the folder that comes out")),
    (b"7z\xbc\xaf\x27\x1c", Foreign("archive", "a 7z archive", "unpack it, and give the folder that comes out")),
    (b"Rar!", Foreign("archive", "a RAR archive", "unpack it, and give the folder that comes out")),
    (b"\xfd7zXZ", Foreign("archive", "an xz archive", "unpack it, and give the folder that comes out")),
    (b"\x28\xb5\x2f\xfd", Foreign("archive", "a zstd archive", "unpack it, and give the folder that comes out")),
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", Foreign("old-torch", "a file of torch before 1.6")),
    (b"\x80\x02", _BARE_PICKLE),
    *((bytes((0x80, protocol)), _BARE_PICKLE) for protocol in (3, 4, 5)),
    (b"MZ", Foreign("program", "a Windows program")),
    (b"\x7fELF", Foreign("program", "a program")),
    (b"#!", Foreign("program", "a script")),
)
_PAGES = (b"<!doctype", b"<html", b"<?xml")
_ZIP = b"PK\x03\x04"


def foreign_by_bytes(path: Path) -> Foreign | None:
    """What a file's first bytes say that it is, if that is no format that is read here. ``Refused``: no file."""
    with open_regular(path) as file:
        head = file.read(_HEAD_BYTES)
    if head.lstrip()[:16].lower().startswith(_PAGES):
        return Foreign("web-page", "a web page that was saved under this name", "download the file itself")
    if head[_LENGTH_BYTES : _LENGTH_BYTES + 1] == b"{":
        return None  # a safetensors file: it begins with the length of its header, which can look like anything
    return next((foreign for magic, foreign in _FIRST_BYTES if head.startswith(magic)), None)


def is_zip(path: Path) -> bool:
    """Whether a file begins as ``torch.save`` files do; False for what is no file."""
    try:
        with open_regular(path) as file:
            return file.read(len(_ZIP)) == _ZIP
    except Refused:
        return False


def foreign_by_tensors(tensors: Mapping[str, TensorEntry], metadata: Mapping[str, str]) -> Foreign | None:
    """What names, types and the author's notes say that a file is; None for tensors that could be Wan's own.

    Only recognises; whether the tensors fit a model is checked where the model is known.
    """
    names = tuple(tensors)
    # long notes are pictures and captions, in which any word can stand
    notes = {word.lower() for word in (*metadata, *metadata.values()) if len(word) <= _NOTE_CHARACTERS}
    dtypes = {entry.dtype for entry in tensors.values()}
    for kind, (what, patterns, noted) in FOREIGN_NAMES.items():
        if any(pattern.search(name) for pattern in patterns for name in names) or not notes.isdisjoint(noted):
            return Foreign(kind, what, *_ADVICE.get(kind, (_OFFICIAL,)))
    return next((foreign for is_kind, foreign in _BY_DTYPES if is_kind(dtypes)), None)


def foreign_by_config(config: Mapping[str, object]) -> Foreign | None:
    """What the quantisation notes of a config.json say, if it has any."""
    notes = config.get("quantization_config")
    if notes is None:
        return None
    method = notes.get("quant_method") if isinstance(notes, dict) else None
    named = shown(method or "an unnamed method", 40)
    return Foreign("quantised", f"the config of weights that were quantised with {named}")


def content_problem(tensors: Mapping[str, TensorEntry], metadata: Mapping[str, str], path: Path) -> str | None:
    """The sentence about a whole file whose tensors no model here is made of: foreign, not floats, or empty."""
    if foreign := foreign_by_tensors(tensors, metadata):
        return foreign.sentence(path)
    if not tensors:
        return f"{path} holds no tensor at all; download that file again"
    for name, entry in tensors.items():
        if entry.dtype not in WEIGHT_DTYPES and not _is_counter(name):
            return (
                f"{path} has {shown(name)} as {entry.dtype}, and weights are floating-point numbers "
                f"({', '.join(WEIGHT_DTYPES)}); {_OFFICIAL}"
            )
        if not entry.elements:
            return f"{path} has {shown(name)} of shape {list(entry.shape)}, which holds no number; {_OFFICIAL}"
    return None


def _is_counter(name: str) -> bool:
    """Positions that older libraries stored with their models, and what no network here reads."""
    return name.endswith("position_ids") or name.startswith("textual.")


def _has(prefixes: Iterable[str]) -> Callable[[set[str]], bool]:
    return lambda dtypes: any(dtype.startswith(tuple(prefixes)) for dtype in dtypes)


_BY_DTYPES: tuple[tuple[Callable[[set[str]], bool], Foreign], ...] = (
    (_has(("F4", "F6", "F8_E8M0")), Foreign("fp4", "a file of weights quantised to 4 or 6 bits (MXFP4, NVFP4)")),
    (lambda dtypes: dtypes <= {"I8", "U8"} and bool(dtypes), Foreign("int8", "a file of 8-bit integer weights")),
)
_ADVICE: Mapping[str, tuple[str, ...]] = {
    "lora": (
        "give it as --lora, or as --lora_high or --lora_low for one expert, beside the --ckpt_dir of a model",
        "which changes a model and is none itself",
    ),
    "fp8-scaled": (_BESIDE, _ALONE),
    "comfyui": (_BESIDE, "which is no checkpoint folder"),
    "training": (f"take the weights alone out of it, or {_OFFICIAL}",),
}
