"""The weights of a job besides its checkpoint's: opened by their headers, checked for this machine, and recorded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wan.configs import TaskConfig
from wan.device_kind import device_kind
from wan.loading.denoiser_files import Replaced, find_denoisers, is_gguf
from wan.loading.lora_files import LoraFile, open_loras
from wan.request import Request
from wan.runs.provenance import file_identity
from wan.weight_options import GGUF, WeightOptions
from wan.weight_rules import refuse_weights


def checked_weights(request: Request, config: TaskConfig, folder: Path | None) -> tuple[tuple[LoraFile, ...], Replaced]:
    """The LoRA files and the single files of a request, which can be used here; ``InvalidInput`` for those that cannot.

    ``folder``: the checkpoint's, None where there is none yet. Reads headers, and LoRA files once for their hash.
    """
    replaced, machine = find_denoisers(request.weights, config, folder), request.machine
    refuse_weights(
        request.weights,
        kind=device_kind(machine.device),
        has_gguf=any(is_gguf(path) for _, path in replaced) or request.weights.quantize == GGUF,
        is_spread=machine.dit_fsdp,
        compiled=machine.compile,
    )
    return open_loras(request.weights, config), replaced


def stored_as(options: WeightOptions, replaced: Replaced) -> str:
    """How the largest expert is stored: as asked, or gguf where all experts come from such files."""
    return GGUF if replaced and all(is_gguf(path) for _, path in replaced) else options.quantize


def weights_record(options: WeightOptions, loras: Sequence[LoraFile], replaced: Replaced) -> dict[str, Any]:
    """What ``run.json`` says of them; nothing where the weights are those of the checkpoint."""
    found: dict[str, Any] = {}
    if loras:
        found |= {"loras": [lora.record() for lora in loras], "lora_fused": not options.lora_unfused}
    if replaced:
        found["denoisers"] = [
            {"path": str(path), "expert": expert.value, **file_identity(path)} for expert, path in replaced
        ]
    if options.quantize != "none":
        found["quantize"] = options.quantize
    return found
