"""What a checkpoint says that it is (class names, model_index.json): compared with what is run here, never imported."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wan.commands import program
from wan.untrusted.refusal import shown

MODEL_CLASSES: Mapping[str, frozenset[str]] = {
    "transformer": frozenset({"WanTransformer3DModel"}),
    "transformer_2": frozenset({"WanTransformer3DModel"}),
    "vae": frozenset({"AutoencoderKLWan"}),
    "text_encoder": frozenset({"UMT5EncoderModel"}),
    "image_encoder": frozenset({"CLIPVisionModel", "CLIPVisionModelWithProjection"}),
    "tokenizer": frozenset(
        {"T5Tokenizer", "T5TokenizerFast", "AutoTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend"}
    ),
}
"""Component to the classes that it is published as."""
OFFICIAL_CLASSES = frozenset({"WanModel"})
_MODEL_TYPES = frozenset({"t2v", "i2v", "ti2v", "flf2v", "t2i"})
_PIPELINES = frozenset({"WanPipeline", "WanImageToVideoPipeline"})
_LIBRARIES = frozenset({"diffusers", "transformers", None})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_CODE_KEYS = ("auto_map", "custom_pipelines", "custom_pipeline", "trust_remote_code", "remote_code")
_GET = f"get a Wan model (`{program('download')} --task ...`)"


def index_problems(index: Mapping[str, Any], path: Path) -> Iterator[str]:
    """Sentences about a model_index.json that describes another pipeline than those of Wan."""
    yield from code_problems(index, path)
    pipeline = index.get("_class_name")
    if pipeline is not None and (not isinstance(pipeline, str) or pipeline not in _PIPELINES):
        runs = " and ".join(sorted(_PIPELINES))
        yield f"{path} describes a {shown(pipeline)!r}, and this program runs {runs}; {_GET}"
        return
    for name, value in index.items():
        if isinstance(value, list) and (problem := _component_problem(name, value)):
            yield f"{path} {problem}; nothing of it was imported, {_GET}"


def class_problems(config: Mapping[str, Any], classes: frozenset[str], path: Path) -> Iterator[str]:
    """Sentences about a config.json of another class of model, or of one that brings its own code."""
    yield from code_problems(config, path)
    found = config.get("_class_name", config.get("architectures"))
    names = found if isinstance(found, list) else [found]
    if found is not None and not any(isinstance(name, str) and name in classes for name in names):
        listed = shown(", ".join(map(str, names)) if len(names) <= 3 else found)
        yield f"{path} describes a {listed!r}, and this program needs {' or '.join(sorted(classes))} there; {_GET}"
    kind = config.get("model_type")
    if classes is OFFICIAL_CLASSES and kind is not None and (not isinstance(kind, str) or kind not in _MODEL_TYPES):
        yield f"{path} describes a model of type {shown(kind)!r}, which no task here runs; {_GET}"


def code_problems(config: Mapping[str, Any], path: Path) -> Iterator[str]:
    """Sentences about a file that asks for code of its own to be run."""
    for key in _CODE_KEYS:
        if config.get(key):
            yield f"{path} asks for code of its own ({key}), and a checkpoint's code is never run here; {_GET}"


def _component_problem(name: str, value: list[Any]) -> str | None:
    if len(value) != 2 or not all(part is None or isinstance(part, str) for part in value):
        return None  # a list of something else, as of numbers
    library, kind = value
    wanted = MODEL_CLASSES.get(name)
    if library not in _LIBRARIES or (kind is not None and not _NAME.fullmatch(kind)):
        return (
            f"takes {shown(name, 40)} from {shown(library)!r} ({shown(kind)}), and there are diffusers and transformers"
        )
    if kind is not None and wanted is not None and kind not in wanted:
        return f"describes the {name} as a {shown(kind)!r}, and this program needs {' or '.join(sorted(wanted))}"
    return None
