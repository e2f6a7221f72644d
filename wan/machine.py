"""How a run uses the machine: its flags, and what they say together."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from wan.errors import InvalidInput

OFFLOADS = ("none", "expert", "group")
ATTENTIONS = ("auto", "native", "flash", "flash3", "sage", "xformers", "flex", "cudnn")


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineOptions:
    """Memory and kernels. ``offload``: none (both experts stay on the device), expert (one is in memory at a time) or
    group (blocks visit the device)."""

    offload: str
    vae_tiling: bool
    text_cache: Path | None
    attention: str


def add_machine_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", help="auto, cpu, cuda, cuda:1, mps (auto)")
    group.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="of the networks; default: the task's"
    )
    group.add_argument(
        "--offload_model", type=_bool, metavar="BOOL", help="one expert in memory at a time: --offload expert (True)"
    )
    group.add_argument(
        "--offload",
        choices=OFFLOADS,
        help="none: both experts stay on the device; expert: one is in memory at a time; group: blocks visit the "
        "device in turn, for small cards (expert)",
    )
    group.add_argument("--t5_cpu", action="store_true", help="run the text encoder on the CPU")
    group.add_argument("--text_cache", metavar="DIR", help="keep text embeddings here; known prompts need no encoder")
    group.add_argument("--vae_tiling", action="store_true", help="decode in tiles: less memory, faint seams")
    group.add_argument("--attention", choices=ATTENTIONS, default="auto", help="attention kernels (%(default)s)")
    group.add_argument(
        "--convert_model_dtype", action="store_true", help="accepted for compatibility: models always load in --dtype"
    )


def machine_options(args: argparse.Namespace) -> MachineOptions:
    """The flags of the group; ``InvalidInput`` when two of them disagree."""
    official = {None: None, True: "expert", False: "none"}[args.offload_model]
    agreeing = {"none": False, "expert": True, "group": True}
    if args.offload and args.offload_model not in (None, agreeing[args.offload]):
        raise InvalidInput(
            f"--offload {args.offload} and --offload_model {args.offload_model} contradict each other; "
            "give --offload alone"
        )
    return MachineOptions(
        offload=args.offload or official or "expert",
        vae_tiling=args.vae_tiling,
        text_cache=Path(args.text_cache) if args.text_cache else None,
        attention=args.attention,
    )


def _bool(text: str) -> bool:
    values = {"true": True, "1": True, "yes": True, "t": True, "y": True}
    values |= {"false": False, "0": False, "no": False, "f": False, "n": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is not a boolean; use True or False")
    return values[text.lower()]
