"""The LoRA files of a run: found, read by their headers, and refused where they do not fit the checkpoint's experts."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from wan.configs import TaskConfig
from wan.errors import CheckpointError, InvalidInput
from wan.loading.denoiser_names import parameter_name
from wan.loading.files import experts_of, weight_files
from wan.loading.headers import PICKLE_SUFFIXES, SAFETENSORS_SUFFIX, read_shapes
from wan.loading.layouts import Checkpoint
from wan.loading.lora_names import Fit, Shapes, fit, noted_alpha, other_kind
from wan.sampling.plan import Expert
from wan.settings import SamplingSettings
from wan.untrusted.json_text import read_json_object
from wan.untrusted.refusal import Refused
from wan.untrusted.safetensors_header import read_header
from wan.untrusted.tensor_entry import TensorEntry
from wan.weight_options import BOTH, HIGH, LOW, Lora, WeightOptions, bundled

_FLAGS = {BOTH: "--lora", HIGH: "--lora_high", LOW: "--lora_low"}
_EXPERT_NAMES = {Expert.HIGH_NOISE: "high-noise expert", Expert.LOW_NOISE: "low-noise expert", Expert.SINGLE: "model"}
_SHOWN = 3
_PEFT_FILE, _PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
_BLOCK = re.compile(r"blocks[._](\d+)[._]")
_DISTILLED = re.compile(r"light(ning|x2v)|distill|(?<!\d)[1-8][-_ ]?steps?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraFile:
    """One safetensors file for ``experts``; ``flag`` is the one that it came by, ``alpha`` what its notes say."""

    path: Path
    scale: float
    experts: tuple[Expert, ...]
    flag: str
    sha256: str
    entries: Mapping[str, TensorEntry] = field(repr=False)
    alpha: float | None = None

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says of it."""
        experts = [expert.value for expert in self.experts]
        return {"path": str(self.path), "sha256": self.sha256, "scale": self.scale, "experts": experts}

    def fit(self, shapes: Shapes) -> Fit:
        """What it adds to a model with these parameters."""
        return fit(self.entries, shapes, alpha=self.alpha)

    def described(self) -> str:
        """Its size, for people."""
        width, blocks = size_of(self.entries)
        ranks = sorted({entry.shape[0] for name, entry in self.entries.items() if _is_down(name) and entry.shape})
        rank = f"rank {'/'.join(map(str, ranks[:4]))}, " if ranks else ""
        model = f"for a model of width {width} with {blocks} blocks" if width else "for an unknown model"
        return f"{len(self.entries)} tensors, {rank}{model}"


def open_loras(options: WeightOptions, config: TaskConfig) -> tuple[LoraFile, ...]:
    """Every LoRA file that a run of the task is asked for; ``InvalidInput`` for one that is none. Reads headers, and
    every file once for its hash."""
    return tuple(file for which, lora in options.loras for file in _opened(which, lora, config))


def read_lora(path: Path, *, flag: str, scale: float = 1.0, experts: tuple[Expert, ...] = ()) -> LoraFile:
    """One file by its header; ``InvalidInput`` for one that is no LoRA as they are known here."""
    if path.suffix in (*PICKLE_SUFFIXES, ".ckpt"):
        raise InvalidInput(
            f"{flag} {path} is a pickle, and a LoRA is only read as safetensors, which runs no program; give that file"
        )
    if path.suffix != SAFETENSORS_SUFFIX:
        raise InvalidInput(f"{flag} {path} must end in .safetensors; give the file as it was published")
    try:
        header = read_header(path)
    except Refused as error:
        raise InvalidInput(f"{flag} {path} cannot be read: {error}; give a LoRA as a safetensors file") from error
    if kind := other_kind(header.tensors):
        raise InvalidInput(f"{flag} {path} is a {kind}, and only LoRA and plain differences are known here")
    alpha, reason = _alpha(path, header.metadata)
    if reason:
        raise InvalidInput(f"{flag} {path} cannot be used: {reason}")
    return LoraFile(
        path=path,
        scale=scale,
        experts=experts,
        flag=flag,
        sha256=_sha256(path, path.stat().st_size, path.stat().st_mtime_ns),
        entries=header.tensors,
        alpha=alpha,
    )


def refuse_misfits(loras: Sequence[LoraFile], checkpoint: Checkpoint) -> None:
    """``InvalidInput`` with the keys of the first file that changes what an expert of the checkpoint does not have."""
    for expert in experts_of(checkpoint.config):
        own = [lora for lora in loras if expert in lora.experts]
        shapes = expert_shapes(checkpoint, expert) if own else {}
        for lora in own:
            _refuse_misfit(lora, expert, shapes, checkpoint.path)


def expert_shapes(checkpoint: Checkpoint, expert: Expert) -> Shapes:
    """An expert's parameters under diffusers' names, by the headers of its files."""
    folder = checkpoint.layout.expert_folder(checkpoint.path, expert)
    try:
        stored = {name: shape for file in weight_files(folder) for name, shape in read_shapes(file).items()}
    except CheckpointError as error:
        raise InvalidInput(str(error)) from error
    return {parameter_name(name): shape for name, shape in stored.items()}


def size_of(entries: Mapping[str, TensorEntry]) -> tuple[int, int]:
    """(width, blocks) of the model that a file was made for, (0, 0) where its names do not tell."""
    blocks = {int(found[1]) for name in entries if (found := _BLOCK.search(name))}
    is_query = re.compile(r"(self_attn|attn1)[._](to_)?q\b")
    widths = Counter(
        entry.shape[1]
        for name, entry in entries.items()
        if _is_down(name) and is_query.search(name) and len(entry.shape) == 2
    )
    return (widths.most_common(1)[0][0], max(blocks) + 1) if widths and blocks else (0, 0)


def lora_notices(loras: Sequence[LoraFile], settings: SamplingSettings) -> list[str]:
    """What a user should know before a run with these files."""
    if not loras:
        return []
    found = []
    if settings.plan is not None or settings.asked_budget not in (None, 1.0):
        found.append(
            "the plan was made for the checkpoint without a LoRA, and with one it is another model: what the plan says "
            "of its error does not hold"
        )
    if {settings.low_noise_guidance_scale, settings.high_noise_guidance_scale} == {1.0}:
        found.append(
            "with --sample_guide_scale 1 every step evaluates the prompt alone: CFG truncation has nothing to save, "
            "and half-frame generation and caches are the shortcuts that are left"
        )
    elif any(_DISTILLED.search(lora.path.stem) or _DISTILLED.search(lora.path.parent.name) for lora in loras):
        found.append(
            f"a LoRA by its name is distilled to few steps without guidance, and this run has {settings.steps} steps "
            "with guidance; such files are made for --sample_steps 4 --sample_guide_scale 1 --sample_solver euler"
        )
    return found


def loras_digest(loras: Sequence[LoraFile]) -> str:
    """Tells the model that these files make of a checkpoint from others; empty for none."""
    lines = [f"{lora.sha256} {lora.scale!r} {[expert.value for expert in lora.experts]}" for lora in loras]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest() if lines else ""


def _opened(which: str, lora: Lora, config: TaskConfig) -> Iterator[LoraFile]:
    flag, experts = _FLAGS[which], experts_of(config)
    if which != BOTH:
        if not config.has_two_experts:
            raise InvalidInput(f"{flag} is for a model with two experts, and {config.name} has one; use --lora")
        experts = (Expert.HIGH_NOISE,) if which == HIGH else (Expert.LOW_NOISE,)
    path = bundled(lora.path)
    if not path.exists():
        raise InvalidInput(f"{flag} {path} is not here; give a safetensors file, or a folder with a pair of them")
    if not path.is_dir():
        yield read_lora(path, flag=flag, scale=lora.scale, experts=experts)
    elif which == BOTH and config.has_two_experts and not (path / _PEFT_FILE).is_file():
        for expert, file in zip(experts, _pair(path), strict=True):
            yield read_lora(file, flag=flag, scale=lora.scale, experts=(expert,))
    else:
        yield read_lora(_only_file(path, flag), flag=flag, scale=lora.scale, experts=experts)


def _pair(folder: Path) -> tuple[Path, Path]:
    """The files for the high-noise and the low-noise expert in a folder."""
    files = sorted(folder.glob(f"*{SAFETENSORS_SUFFIX}"))
    high, low = ([file for file in files if word in file.name.lower()] for word in ("high", "low"))
    if len(high) != 1 or len(low) != 1:
        raise InvalidInput(
            f"--lora {folder} must hold one file with 'high' in its name and one with 'low', as published pairs do; "
            "give the files with --lora_high and --lora_low"
        )
    return high[0], low[0]


def _only_file(folder: Path, flag: str) -> Path:
    files = sorted(folder.glob(f"*{SAFETENSORS_SUFFIX}"))
    if len(files) != 1:
        raise InvalidInput(f"{flag} {folder} holds {len(files)} safetensors files; give the file itself")
    return files[0]


def _alpha(path: Path, metadata: Mapping[str, str]) -> tuple[float | None, str | None]:
    """The alpha that the file's notes have, or the config beside a file of PEFT."""
    config = path.parent / _PEFT_CONFIG
    if path.name != _PEFT_FILE or not config.is_file():
        return noted_alpha(metadata)
    try:
        values = read_json_object(config)
    except Refused as error:
        return None, f"its {_PEFT_CONFIG} cannot be read: {error}"
    alpha = values.get("lora_alpha")
    other = next((name for name in ("use_dora", "use_rslora", "alpha_pattern") if values.get(name)), None)
    if other:
        return None, f"it was made with {other}, which is not known here"
    return (float(alpha), None) if isinstance(alpha, int | float) else (None, None)


def _refuse_misfit(lora: LoraFile, expert: Expert, shapes: Shapes, ckpt_dir: Path) -> None:
    found = lora.fit(shapes)
    if not found.misfits and found.additions:
        return
    width, blocks = size_of(lora.entries)
    made_for = f"; it was made for a model of width {width} with {blocks} blocks" if width else ""
    if not found.misfits:
        raise InvalidInput(f"{lora.flag} {lora.path} holds no LoRA at all; give the file as it was published")
    more = len(found.misfits) - _SHOWN
    listed = "; ".join(found.misfits[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
    raise InvalidInput(
        f"{lora.flag} {lora.path} does not fit the {_EXPERT_NAMES[expert]} of {ckpt_dir}: {listed}{made_for}; give a "
        "LoRA of this model"
    )


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, modified_ns: int) -> str:
    """Read once for every state of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_down(name: str) -> bool:
    return ".lora_A." in name or ".lora_down." in name
