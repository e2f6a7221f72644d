"""What one weight file is by its header: a LoRA, or a denoiser of one file, for which tasks, and how it is given."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wan.commands import command_line
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.loading.denoiser_files import is_gguf, stored_parameters
from wan.loading.headers import SAFETENSORS_SUFFIX
from wan.loading.lora_files import read_lora, size_of
from wan.loading.lora_names import parts_of
from wan.untrusted.gguf_header import read_gguf_header
from wan.untrusted.refusal import Refused
from wan.untrusted.regular import is_regular
from wan.untrusted.safetensors_header import read_header

_QUERY, _FEED = "blocks.0.attn1.to_q.weight", "blocks.0.ffn.net.0.proj.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class FileReport:
    """``lines`` for people; ``is_usable`` when a task here can use the file."""

    lines: tuple[str, ...]
    is_usable: bool


def examine_file(path: Path) -> FileReport | None:
    """What a file is; None for one that is neither a LoRA nor a denoiser of one file, or that is damaged."""
    if not is_regular(path) or not (is_gguf(path) or path.suffix == SAFETENSORS_SUFFIX):
        return None
    try:
        return _denoiser(path) if is_gguf(path) else (_lora(path) or _denoiser(path))
    except (InvalidInput, Refused):
        return None


def _lora(path: Path) -> FileReport | None:
    entries = read_header(path).tensors
    if not parts_of(entries)[0]:
        return None
    lora = read_lora(path, flag="--lora")
    width, blocks = size_of(entries)
    tasks = [name for name, config in WAN_CONFIGS.items() if (config.dim, config.num_layers) == (width, blocks)]
    return _report(path, f"a LoRA, {lora.described()}", tasks, "--lora")


def _denoiser(path: Path) -> FileReport | None:
    stored = stored_parameters(path)
    if _QUERY not in stored or _FEED not in stored:
        return None
    width, wide = stored[_QUERY].shape[0], stored[_FEED].shape[0]
    blocks = len({name.split(".")[1] for name in stored if name.startswith("blocks.")})
    channels = stored["patch_embedding.weight"].shape[1] if "patch_embedding.weight" in stored else 0
    tasks = [
        name
        for name, config in WAN_CONFIGS.items()
        if (config.dim, config.ffn_dim, config.num_layers, config.in_channels) == (width, wide, blocks, channels)
    ]
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(_kinds(path).values()).most_common())
    return _report(path, f"a denoiser of width {width} with {blocks} blocks ({kinds})", tasks, "--denoiser")


def _report(path: Path, what: str, tasks: list[str], flag: str) -> FileReport:
    if not tasks:
        return FileReport(lines=(f"{path}: {what}; no task here has such a model",), is_usable=False)
    two = WAN_CONFIGS[tasks[0]].has_two_experts
    given = f"{flag}_high (or {flag}_low)" if two and flag != "--lora" else flag
    folder = () if WAN_CONFIGS[tasks[0]].bundled_checkpoint else ("--ckpt_dir", "DIR")
    example = command_line("generate", "--task", tasks[0], *folder)
    lines = (f"{path}: {what}", f"it fits --task {' or '.join(tasks)}: {example} {given} {path}")
    return FileReport(lines=lines, is_usable=True)


def _kinds(path: Path) -> Mapping[str, str]:
    tensors = read_gguf_header(path).tensors if is_gguf(path) else read_header(path).tensors
    return {name: tensor.dtype for name, tensor in tensors.items()}
