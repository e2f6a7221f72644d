"""What cannot be done with LoRA files and small weights here: refused before any weight is read, without torch."""

import importlib.util

from wan.commands import in_clone
from wan.errors import InvalidInput
from wan.weight_options import GGUF, WeightOptions

_PACKAGES = {"int8": "torchao", GGUF: "gguf"}
_HOW = "pip install -r requirements-quantize.txt"
_HOW_INSTALLED = "pip install 'wan22-shortcut[quantize]'"


def refuse_weights(
    options: WeightOptions, *, kind: str | None, has_gguf: bool, is_spread: bool = False, compiled: bool = False
) -> None:
    """``InvalidInput`` for what the device, the installed packages or other flags rule out.

    ``kind``: cpu, cuda or mps, None where it is not known yet; ``has_gguf``: an expert comes from a GGUF file;
    ``is_spread``: --dit_fsdp; ``compiled``: --compile.
    """
    quantize = GGUF if has_gguf else options.quantize
    package = _PACKAGES.get(quantize)
    if package and importlib.util.find_spec(package) is None:
        how = _HOW if in_clone() else _HOW_INSTALLED
        raise InvalidInput(f"--quantize {quantize} needs the package {package}, which is not installed: `{how}`")
    if kind == "mps" and quantize in ("fp8", "int8"):
        raise InvalidInput(f"--quantize {quantize} is not known to work on mps; use --device cpu, or leave it out")
    if is_spread and (quantize != "none" or options.lora_unfused):
        flag = f"--quantize {quantize}" if quantize != "none" else "--lora_unfused"
        raise InvalidInput(f"{flag} and --dit_fsdp do not go together: only whole weights are spread; use one of them")
    if quantize == "fp8" and options.lora_unfused:
        raise InvalidInput(
            "--lora_unfused and --quantize fp8 do not go together: what stands beside a layer would be made small with "
            "it; leave --lora_unfused out"
        )
    if compiled and quantize in ("fp8", GGUF):
        raise InvalidInput(
            f"--compile and --quantize {quantize} do not go together, the weights change in every forward; use one of "
            "them"
        )
