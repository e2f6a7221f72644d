"""The latents of every step as ``latent_step_01.pt``, ``_02``, ...: what a debug run writes and instruments read."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from wan.commands import program
from wan.errors import InvalidInput
from wan.runs.atomic import atomic_path
from wan.runs.latents import refuse_unlike_latents
from wan.runs.record import load_record
from wan.untrusted.refusal import MALFORMED, Refused, reason_of, shown
from wan.untrusted.tensor_entry import TensorEntry, is_size
from wan.untrusted.torch_archive import read_archive

LATENTS_FOLDER = "debug_latents"
DEBUG_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TENSOR_KEYS = ("x_t", "x0_pred", "eps_pred", "velocity")
_PATTERN = "latent_step_*.pt"
_DTYPE_NAMES = ("F32", "BF16", "F16")
_LIBRARY_ERRORS: tuple[type[Exception], ...] = (UnpicklingError, *MALFORMED)
_AGAIN = "repeat the run with --enable_debug"
_VALUES: Mapping[str, Callable[[Any], bool]] = {
    "step": lambda value: is_size(value) and value > 0,
    "timestep": lambda value: isinstance(value, int | float) and isfinite(value),
    "sigma_t": lambda value: isinstance(value, int | float) and 0.0 <= value <= 1.0,
    "expert": lambda value: isinstance(value, str) and len(value) <= 100,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DebugStep:
    """One step: tensors (C, F, h, w) and where it lies; ``step`` counts from 1.

    x0_pred = x_t - sigma v and eps_pred = x_t + (1 - sigma) v, so that x_t = (1 - sigma) x0_pred + sigma eps_pred.
    """

    step: int
    timestep: int
    sigma: float
    expert: str
    x_t: Tensor
    velocity: Tensor

    @property
    def x0_pred(self) -> Tensor:
        return self.x_t - self.sigma * self.velocity

    @property
    def eps_pred(self) -> Tensor:
        return self.x_t + (1.0 - self.sigma) * self.velocity


def save_debug_step(folder: Path, step: DebugStep, *, dtype: torch.dtype = torch.float32) -> Path:
    """Write one step for ``torch.load(weights_only=True)``; the four tensors in ``dtype``. OSError when that fails."""
    path = folder / f"latent_step_{step.step:02d}.pt"
    tensors = {name: getattr(step, name).detach().to("cpu", dtype).contiguous().clone() for name in TENSOR_KEYS}
    values = {"step": step.step, "timestep": step.timestep, "sigma_t": step.sigma, "expert": step.expert}
    with atomic_path(path) as temporary:
        torch.save(values | tensors, temporary)
    return path


def load_debug_step(path: Path) -> DebugStep:
    """Read one step, tensors in float32; InvalidInput when the file is damaged or something else."""
    try:
        _check(read_archive(path).values)
        values: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        step = DebugStep(
            step=values["step"],
            timestep=values["timestep"],
            sigma=values["sigma_t"],
            expert=values["expert"],
            x_t=values["x_t"].float(),
            velocity=values["velocity"].float(),
        )
    except Refused as error:
        raise InvalidInput(f"{path} is not the latents of a debug step: {error}; {_AGAIN}") from error
    except _LIBRARY_ERRORS as error:
        raise InvalidInput(f"{path} is not the latents of a debug step ({reason_of(error)}): {_AGAIN}") from error
    if not (torch.isfinite(step.x_t).all() and torch.isfinite(step.velocity).all()):
        raise InvalidInput(f"{path} holds values that are not finite (NaN or infinity): {_AGAIN}")
    return step


def _check(values: object) -> None:
    """``Refused`` unless a file lists what ``save_debug_step`` writes."""
    if not isinstance(values, dict):
        raise Refused("it holds no values by name")
    for name, is_right in _VALUES.items():
        if name not in values or not is_right(values[name]):
            raise Refused(f"its {name} is {shown(values.get(name, 'missing'))!r}")
    for name in ("x_t", "velocity"):
        entry = values.get(name)
        if not isinstance(entry, TensorEntry):
            raise Refused(f"its {name} is no tensor")
        refuse_unlike_latents(entry, dtypes=_DTYPE_NAMES)
    if values["x_t"].shape != values["velocity"].shape:
        raise Refused("its x_t and its velocity have different shapes")


def check_debug_steps(folder: Path) -> None:
    """InvalidInput for the first file that is not a debug step's, or not of the same video; reads no tensor."""
    spaces: set[tuple[int, ...]] = set()
    for path in debug_step_files(folder):
        try:
            values = read_archive(path).values
            _check(values)
            channels, _, height, width = values["x_t"].shape
            spaces.add((channels, height, width))
            if len(spaces) > 1:
                raise Refused("its latents have another shape than those of the steps before")
        except Refused as error:
            raise InvalidInput(f"{path} is not the latents of a debug step: {error}; {_AGAIN}") from error


def iterate_debug_steps(folder: Path) -> Iterator[DebugStep]:
    """The steps of a folder of ``latent_step_*.pt`` in order, one in memory at a time."""
    for path in debug_step_files(folder):
        yield load_debug_step(path)


def debug_step_files(folder: Path) -> list[Path]:
    """``latent_step_*.pt`` of a folder by step number."""
    return sorted(folder.glob(_PATTERN), key=lambda path: (len(path.name), path.name))


def find_debug_latents(directory: Path) -> Path:
    """The folder of debug latents that belongs to ``directory``: itself, its ``debug_latents``, or what its run.json
    names. InvalidInput when there is none."""
    candidates = [directory, directory / LATENTS_FOLDER]
    if (directory / "run.json").is_file():
        outputs = load_record(directory).get("outputs")
        named = outputs.get("debug_outputs") if isinstance(outputs, dict) else None
        candidates += [Path(named) / LATENTS_FOLDER] if isinstance(named, str) and "\0" not in named else []
    for candidate in candidates:
        if candidate.is_dir() and debug_step_files(candidate):
            return candidate
    raise InvalidInput(
        f"{directory} has no latents of single steps (latent_step_01.pt, ...): make the run with "
        f"`{program('generate')} ... --enable_debug` and give its run folder or its debug folder"
    )


def debug_latents_bytes(element_counts: list[int], dtype: torch.dtype) -> int:
    """Size of all files of a run whose steps have that many latent elements each."""
    return sum(element_counts) * len(TENSOR_KEYS) * dtype.itemsize


def refuse_full_disk(folder: Path, needed_bytes: int, *, flag: str) -> None:
    """InvalidInput when the disk of ``folder`` has less room than that."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed_bytes > free:
        raise InvalidInput(
            f"{flag} {folder}: the latents of all steps need {needed_bytes / 1e9:.1f} GB and the disk has "
            f"{free / 1e9:.1f} GB free; give a folder on another disk, or --debug_dtype bfloat16 for half the size"
        )
