"""What a pipeline refuses and says of what it is given, and the dtype that an encoder is loaded in."""

import warnings
from collections.abc import Mapping

import torch

from wan.configs import TaskConfig
from wan.errors import InvalidInput
from wan.limits import seed_notice
from wan.loading.denoiser_files import find_denoisers, is_gguf
from wan.loading.layouts import Checkpoint, find_checkpoint_dir, open_checkpoint
from wan.loading.lora_files import LoraFile, open_loras, refuse_misfits
from wan.loading.prompt_length import notices_of
from wan.loading.text_source import TextSource
from wan.machine import OFFLOADS, Machine
from wan.memory import block_bytes, why_no_room
from wan.models.attention import check_attention
from wan.models.devices import DTYPES
from wan.models.engine import check_compile
from wan.sampling.price import DenoiserSize
from wan.texts import checked_prompt
from wan.weight_options import WeightOptions
from wan.weight_rules import refuse_weights


def at_least(published: torch.dtype, asked: torch.dtype) -> torch.dtype:
    """The dtype that upstream runs an encoder in (umT5 overflows in float16), unless everything is to be float32."""
    return torch.float32 if asked == torch.float32 else published


def refuse_other_entry(config: TaskConfig, entry: str) -> None:
    """``InvalidInput`` for a configuration of another entry class."""
    if config.entry != entry:
        raise InvalidInput(f"{entry} does not make {config.name}; use wan.{config.entry} for this configuration")


def refuse_offload(offload: str | None, device: torch.device) -> None:
    """``InvalidInput`` for an offload mode that does not exist, or not on this device."""
    if offload not in (None, *OFFLOADS):
        raise InvalidInput(f"offload {offload!r} is unknown; choose one of {', '.join(OFFLOADS)}")
    if offload == "group" and device.type == "cpu":
        raise InvalidInput("--offload group moves blocks from host memory to a GPU, and --device is cpu; use expert")


def opened_for(config: TaskConfig, ckpt_dir: str | None, options: WeightOptions) -> Checkpoint:
    """The checkpoint of a pipeline, whose denoisers may be in single files; raises as ``open_checkpoint``."""
    folder = find_checkpoint_dir(config, ckpt_dir)
    return open_checkpoint(config, folder, replaced=find_denoisers(options, config, folder))


def checked_loras(
    options: WeightOptions, checkpoint: Checkpoint, device: torch.device, is_spread: bool, compiled: bool
) -> tuple[LoraFile, ...]:
    """The LoRA files of a pipeline, which fit its checkpoint; ``InvalidInput`` for those that do not, and for weights
    that cannot be stored as asked."""
    has_gguf = any(is_gguf(path) for _, path in checkpoint.replaced)
    refuse_weights(options, kind=device.type, has_gguf=has_gguf, is_spread=is_spread, compiled=compiled)
    loras = open_loras(options, checkpoint.config)
    refuse_misfits(loras, checkpoint)
    return loras


def refuse_engine(machine: Machine, config: TaskConfig, device: torch.device) -> None:
    """``InvalidInput`` for offloading, attention or compiling that cannot be on the device; reads no weight."""
    offload = machine.offload_for(config)
    refuse_offload(offload, device)
    check_attention(machine.attention, device=device, dtype=DTYPES[machine.dtype or config.param_dtype])
    if machine.compile:
        check_compile(device, offload=offload)


def checked_texts(prompt: str, negative_prompt: str) -> dict[str, str]:
    """Both texts by the official names of their arguments; ``InvalidInput`` for one that cannot be encoded."""
    texts = {"input_prompt": prompt, "n_prompt": negative_prompt}
    return {name: checked_prompt(text, name=name) for name, text in texts.items()}


def input_notices(source: TextSource, device: torch.device, texts: Mapping[str, str], seed: int) -> list[str]:
    """What a caller should know of the texts and the seed."""
    aliased = seed_notice(seed, name="seed") if device.type == "cpu" else None
    return [
        *notices_of(texts, count=source.count, text_len=source.text_len),
        *([aliased] if aliased else []),
    ]


def may_prefetch(
    asked_gib: float | None, size: DenoiserSize, dtype: torch.dtype, quantize: str, device: torch.device
) -> bool:
    """Whether the next expert is read before its turn; where it has no room, that is said.

    ``asked_gib``: host memory for it. None: what is free, and nothing on a CPU, whose one memory holds both then.
    """
    if asked_gib == 0 or (asked_gib is None and device.type == "cpu"):
        return False
    reason = why_no_room(block_bytes(size, str(dtype).removeprefix("torch."), quantize), most_gib=asked_gib)
    if reason:
        warn(reason)
    return reason is None


def warn(sentence: str) -> None:
    """Tell a caller of the library what the command prints."""
    warnings.warn(sentence, stacklevel=4)
