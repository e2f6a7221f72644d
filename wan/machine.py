"""How a run uses the machine: device, precision, offloading and kernels, with their flags."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from wan.configs import TaskConfig
from wan.errors import InvalidInput
from wan.flags import Groups, add_flags, argv_of, flag, values_of

OFFLOADS = ("none", "expert", "group")
ATTENTIONS = ("auto", "native", "flash", "flash3", "sage", "xformers", "flex", "cudnn")
DTYPE_NAMES = ("float32", "bfloat16", "float16")

GROUP, SEVERAL = "machine", "several GPUs (torchrun)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Device, precision, memory and kernels; None: the best device here, the task's dtype, the model's offloading."""

    device: str | None = flag(None, "auto, cpu, cuda, cuda:1, mps (auto)", group=GROUP)
    dtype: str | None = flag(None, "of the networks; default: the task's", group=GROUP, choices=DTYPE_NAMES)
    offload: str | None = flag(
        None,
        "none: both experts stay on the device; expert: one is in memory at a time; group: blocks visit the device in "
        "turn, for small cards (expert; none for the demo model, and with --dit_fsdp)",
        group=GROUP,
        choices=OFFLOADS,
    )
    prefetch_gib: float | None = flag(
        None,
        "host memory for the next expert, which is read during the last steps of the one before; 0: it is read when "
        "its turn comes (what is free, with a GPU; 0 on a CPU)",
        group=GROUP,
        read=float,
        metavar="GIB",
    )
    t5_cpu: bool = flag(False, "run the text encoder on the CPU", group=GROUP)
    text_cache: Path | None = flag(
        None, "keep text embeddings here; known prompts need no encoder", group=GROUP, read=Path, metavar="DIR"
    )
    vae_tiling: bool = flag(False, "decode in tiles: less memory, faint seams", group=GROUP)
    attention: str = flag("auto", "attention kernels (%(default)s)", group=GROUP, choices=ATTENTIONS)
    batch_cfg: bool = flag(False, "both guidance passes in one forward (more memory)", group=GROUP)
    compile: bool = flag(
        False,
        "compile the blocks with torch.compile: seconds to minutes at the start, and again for another shape; needs a "
        "C++ compiler",
        group=GROUP,
    )
    ignore_memory_check: bool = flag(
        False, "start also where this machine's memory and swap cannot hold the run", group=GROUP
    )
    ulysses_size: int = flag(1, "GPUs that share the sequence of one branch", group=SEVERAL, read=int, metavar="N")
    cfg_parallel: bool = flag(False, "each guidance branch on its own half of the GPUs", group=SEVERAL)
    dit_fsdp: bool = flag(False, "spread the denoisers' weights over the GPUs", group=SEVERAL)
    t5_fsdp: bool = flag(False, "spread the text encoder's weights over the GPUs", group=SEVERAL)
    check_parallel: bool = flag(
        False, "compare the first step with what one GPU computes, and stop if they differ", group=SEVERAL
    )

    @property
    def processes(self) -> int:
        """How many share the work of one video."""
        return self.ulysses_size * (2 if self.cfg_parallel else 1)

    def offload_for(self, config: TaskConfig) -> str:
        """The offloading that was asked for, or the one that suits the model: what is small, or spread over several
        GPUs, stays in memory."""
        return self.offload or ("none" if config.bundled_checkpoint or self.dit_fsdp else "expert")


def add_machine_flags(groups: Groups) -> None:
    """The flags of ``Machine``, and the official spellings."""
    add_flags(groups, Machine)
    group = groups[GROUP]
    group.add_argument(
        "--offload_model", type=_bool, metavar="BOOL", help="the official spelling: --offload expert (True) or none"
    )
    group.add_argument(
        "--convert_model_dtype", action="store_true", help="accepted for compatibility: models always load in --dtype"
    )


def machine_of(args: argparse.Namespace) -> Machine:
    """Parsed flags as a ``Machine``; ``InvalidInput`` when two of them disagree."""
    official = {None: None, True: "expert", False: "none"}[args.offload_model]
    agreeing = {"none": False, "expert": True, "group": True}
    if args.offload and args.offload_model not in (None, agreeing[args.offload]):
        raise InvalidInput(
            f"--offload {args.offload} and --offload_model {args.offload_model} contradict each other; "
            "give --offload alone"
        )
    return Machine(**values_of(Machine, args) | {"offload": args.offload or official})


def machine_as_argv(machine: Machine) -> list[str]:
    """The flags that ``machine_of`` reads back as the same machine."""
    return argv_of(machine)


def _bool(text: str) -> bool:
    values = {"true": True, "1": True, "yes": True, "t": True, "y": True}
    values |= {"false": False, "0": False, "no": False, "f": False, "n": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is not a boolean; use True or False")
    return values[text.lower()]
