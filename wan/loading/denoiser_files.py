"""Single files that stand in the place of an expert's weights: GGUF, and safetensors as ComfyUI has them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wan.configs import TaskConfig
from wan.errors import CheckpointError, InvalidInput
from wan.loading.denoiser_names import parameter_name
from wan.loading.files import experts_of
from wan.loading.foreign import foreign_by_bytes, foreign_by_tensors
from wan.loading.headers import SAFETENSORS_SUFFIX
from wan.sampling.plan import Expert
from wan.untrusted.gguf_header import read_gguf_header
from wan.untrusted.refusal import Refused, shown
from wan.untrusted.safetensors_header import read_header
from wan.untrusted.tensor_entry import WEIGHT_DTYPES, TensorEntry
from wan.weight_options import GGUF, WeightOptions

GGUF_SUFFIX = ".gguf"
Replaced = tuple[tuple[Expert, Path], ...]
"""The experts whose weights are in a file of their own."""
_PREFIXES = ("model.diffusion_model.", "diffusion_model.")
_SCALES = (".scale_weight", ".weight_scale")
# beside the weights in ComfyUI's files: scales of activations, which are not quantised here, and marks
_MARKS = re.compile(r"\.(scale_input|input_scale|comfy_quant)$|(^|\.)scaled_fp8$")
_READ_KINDS = ("fp8-scaled", "comfyui")


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a parameter is in a single file: its tensor, its shape, and its scale, where it has one."""

    name: str
    shape: tuple[int, ...]
    scale: str | None = None


def is_gguf(path: Path) -> bool:
    """By its suffix; its content is looked at when it is read."""
    return path.suffix.lower() == GGUF_SUFFIX


def find_denoisers(options: WeightOptions, config: TaskConfig, ckpt_dir: Path | None) -> Replaced:
    """The single files that a run is asked for; ``InvalidInput`` for what is not there, or is another kind of file.

    With ``--quantize gguf`` and no file they are those of the checkpoint's folder.
    """
    given = options.denoiser_files
    for name in given:
        if (name == "--denoiser") is config.has_two_experts:
            other = "--denoiser_high and --denoiser_low" if config.has_two_experts else "--denoiser"
            experts = "two experts" if config.has_two_experts else "one expert"
            raise InvalidInput(f"{name} does not suit {config.name}, which has {experts}; use {other}")
    by_flag = dict(zip(_flags(config), experts_of(config), strict=True))
    found = {by_flag[name]: path for name, path in given.items()}
    if options.quantize == GGUF and ckpt_dir is not None:
        found = _in_folder(ckpt_dir, config, missing=[one for one in experts_of(config) if one not in found]) | found
    for path in found.values():
        check_denoiser_file(path)
    _refuse_mixed(options, found)
    return tuple(sorted(found.items(), key=lambda item: item[0].value))


def check_denoiser_file(path: Path) -> None:
    """``InvalidInput`` for a file that holds no denoiser that can be read here; reads its header."""
    try:
        foreign = foreign_by_bytes(path)
        if foreign and not (foreign.kind == "gguf" and is_gguf(path)):
            raise InvalidInput(f"{path} is {foreign.what}; give a denoiser as .gguf or .safetensors")
        stored_parameters(path)
    except Refused as error:
        raise InvalidInput(f"{path} cannot be used: {error}; give a denoiser as .gguf or .safetensors") from error


def stored_parameters(path: Path) -> Mapping[str, Stored]:
    """Every parameter in a single file under diffusers' names; ``Refused`` for a file that is damaged, ``InvalidInput``
    for one whose weights are of a kind that is not known here."""
    if is_gguf(path):
        tensors = read_gguf_header(path).tensors
        return {
            parameter_name(_bare(name)): Stored(name, tensor.shape)
            for name, tensor in tensors.items()
            if not _MARKS.search(name)
        }
    if path.suffix != SAFETENSORS_SUFFIX:
        raise Refused("it ends neither in .gguf nor in .safetensors")
    header = read_header(path)
    foreign = foreign_by_tensors(header.tensors, header.metadata)
    if foreign and foreign.kind not in _READ_KINDS:
        raise InvalidInput(f"{path} is {foreign.what}, and no denoiser that can be read here; give another file")
    return _safetensors(path, header.tensors)


def _safetensors(path: Path, entries: Mapping[str, TensorEntry]) -> dict[str, Stored]:
    scales = {name: end for name in entries for end in _SCALES if name.endswith(end)}
    found = {}
    for name, entry in entries.items():
        if name in scales or _MARKS.search(name):
            continue
        if entry.dtype not in WEIGHT_DTYPES:
            raise InvalidInput(
                f"{path} has {shown(name)} as {entry.dtype}, and weights are read as {', '.join(WEIGHT_DTYPES)}; give "
                "another file of the same model"
            )
        own = (name.removesuffix(".weight") + end for end in _SCALES)
        scale = next((one for one in own if one in scales), None)
        if scale is not None and entries[scale].elements not in (1, entry.shape[0] if entry.shape else 1):
            raise InvalidInput(f"{path} has {shown(scale)} of shape {list(entries[scale].shape)}, which no scale has")
        found[parameter_name(_bare(name))] = Stored(name, entry.shape, scale)
    return found


def _in_folder(ckpt_dir: Path, config: TaskConfig, *, missing: Sequence[Expert]) -> dict[Expert, Path]:
    """The GGUF file of each expert in a checkpoint's folder, told apart by 'high' and 'low' in their paths."""
    files = sorted(path for path in (*ckpt_dir.glob("*.gguf"), *ckpt_dir.glob("*/*.gguf")) if path.is_file())
    is_of: Mapping[Expert, Callable[[str], bool]] = {
        Expert.HIGH_NOISE: lambda name: "high" in name,
        Expert.LOW_NOISE: lambda name: "low" in name,
        Expert.SINGLE: lambda name: True,
    }
    found = {}
    for expert in missing:
        own = [path for path in files if is_of[expert](path.relative_to(ckpt_dir).as_posix().lower())]
        if len(own) != 1:
            flag = _flags(config)[experts_of(config).index(expert)]
            raise InvalidInput(
                f"--quantize gguf finds {len(own) or 'no'} GGUF file{'s' if len(own) > 1 else ''} for the "
                f"{expert.value} expert in {ckpt_dir}; give it with {flag}"
            )
        found[expert] = own[0]
    return found


def _refuse_mixed(options: WeightOptions, found: Mapping[Expert, Path]) -> None:
    for path in found.values():
        if is_gguf(path) and options.quantize in ("fp8", "int8"):
            raise InvalidInput(
                f"--quantize {options.quantize} and {path} exclude each other, its weights are quantised already; "
                "leave --quantize out"
            )
        if not is_gguf(path) and options.quantize == GGUF:
            raise InvalidInput(f"--quantize gguf needs a .gguf file, and {path} is none; leave --quantize out")


def _flags(config: TaskConfig) -> tuple[str, ...]:
    """In the order of the experts."""
    return ("--denoiser_high", "--denoiser_low") if config.has_two_experts else ("--denoiser",)


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def replaced_file(replaced: Replaced, expert: Expert) -> Path | None:
    """The single file of one expert."""
    return dict(replaced).get(expert)


def parameters_in(path: Path) -> Mapping[str, Stored]:
    """``stored_parameters`` of a file that was checked before; CheckpointError where it has changed since."""
    try:
        return stored_parameters(path)
    except (Refused, InvalidInput) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
