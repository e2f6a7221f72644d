"""One measurement of host memory, in a process of its own.

``-m memory.probe WHAT CKPT_DIR DTYPE DEVICE WORK_DIR``; WHAT is load, load-fp8, load-int8, convert, or a run's
--offload: expert, none. Prints its peaks as one line of JSON. Started by tools/measure_memory.py, once for each figure.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path

import torch

import door  # noqa: F401  (finds the package where it is not installed)
from memory.synthetic import TASK
from memory.watch import MemoryWatch
from wan.configs import WAN_CONFIGS
from wan.generation import generate
from wan.job import prepare
from wan.loading.convert import convert
from wan.loading.convert_plan import plan_conversion
from wan.loading.layouts import open_checkpoint
from wan.loading.models import prepare_expert
from wan.machine import Machine
from wan.models.devices import DTYPES
from wan.request import Request
from wan.sampling.plan import Expert
from wan.weight_options import WeightOptions

LOAD, CONVERT = "load", "convert"
_PAGE_BYTES = 4096


def main(argv: Sequence[str]) -> None:
    what, ckpt_dir, dtype, device, work_dir = argv
    with MemoryWatch() as watch, redirect_stdout(sys.stderr):
        if what.startswith(LOAD):
            load_one_expert(Path(ckpt_dir), dtype, device, what.partition("-")[2] or "none")
        elif what == CONVERT:
            convert(plan_conversion(Path(ckpt_dir)), Path(f"{ckpt_dir}-diffusers"), on_bytes=lambda count: None)
        else:
            whole_run(Path(ckpt_dir), dtype, device, what, Path(work_dir))
    print(json.dumps(asdict(watch.peak())))


def load_one_expert(ckpt_dir: Path, dtype: str, device: str, quantize: str) -> None:
    """Read one expert and look at every page of it: mapped weights come into memory when they are used."""
    checkpoint, options = open_checkpoint(WAN_CONFIGS[TASK], ckpt_dir), WeightOptions(quantize=quantize)
    fill = prepare_expert(checkpoint, Expert.HIGH_NOISE, dtype=DTYPES[dtype], weights=options)
    for parameter in fill(torch.device(device)).parameters():
        if quantize != "none":
            continue  # made of what was read, and in memory
        parameter.flatten()[:: _PAGE_BYTES // parameter.element_size()].sum()


def whole_run(ckpt_dir: Path, dtype: str, device: str, offload: str, output_dir: Path) -> None:
    """What ``generate.py`` does after parsing, to the finished video: a small one, for few activations."""
    request = Request(
        task=TASK,
        ckpt_dir=ckpt_dir,
        prompt="two dogs",
        size=(64, 32),
        frame_num=9,
        seed=0,
        sample_steps=6,
        machine=Machine(device=device, dtype=dtype, offload=offload),
        output_dir=output_dir / "outputs",
    )
    generate(prepare(request), say=lambda line: None)


if __name__ == "__main__":
    main(sys.argv[1:])
