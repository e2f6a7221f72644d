"""Convert an official checkpoint to the diffusers layout: shard by shard, resumable, verified after writing."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from wan.commands import command_line
from wan.configs import TaskConfig
from wan.errors import CheckpointError, InvalidInput
from wan.loading.convert_plan import Conversion, WeightFile
from wan.loading.convert_writer import TensorSpec, as_bytes, write_safetensors
from wan.loading.diffusers_layout import TOKENIZER
from wan.loading.doctor import format_bytes, free_bytes
from wan.loading.fingerprint import Manifest, fingerprint, read_manifest, write_manifest
from wan.loading.headers import read_shapes
from wan.loading.layouts import Checkpoint, recognise
from wan.loading.models import weight_problems
from wan.loading.weights import open_weights
from wan.runs.atomic import atomic_path, write_text_atomic

_SAMPLED_TENSORS = 8
_REOPEN_BYTES = 2**30
_PARTIAL_FILES = "**/.partial-*"

OnBytes = Callable[[int], object]


def remaining(conversion: Conversion, destination: Path) -> tuple[WeightFile, ...]:
    """The files that are still to be written, of those that the manifest vouches for none.

    ``InvalidInput`` when the destination holds anything but this conversion, or its disk is too small.
    """
    manifest = _own_manifest(conversion, destination)
    left = tuple(file for file in conversion.weights if not _is_done(destination / file.name, file.name, manifest))
    needed, free = sum(file.byte_count for file in left), free_bytes(destination)
    if needed > free:
        raise InvalidInput(
            f"{destination} needs {format_bytes(needed)} and its disk has {format_bytes(free)} free; free some "
            "space, or give a destination on a larger disk"
        )
    return left


def convert(conversion: Conversion, destination: Path, on_bytes: OnBytes) -> None:
    """Write what ``remaining`` lists, then the small files, and check the result as a run would.

    A conversion that was stopped continues when it is called again. Raises what ``remaining`` raises,
    ``CheckpointError`` when a file does not hold what was written, and OSError.
    """
    left = remaining(conversion, destination)
    destination.mkdir(parents=True, exist_ok=True)
    for partial in destination.glob(_PARTIAL_FILES):
        partial.unlink()  # of an attempt that was killed
    done = {file.name: fingerprint(destination / file.name) for file in conversion.weights if file not in left}
    _write_manifest(conversion, destination, done, finished=False)
    for file in left:
        _write(file, destination / file.name, on_bytes)
        done[file.name] = fingerprint(destination / file.name)
        _write_manifest(conversion, destination, done, finished=False)
    _copy_tokenizer(conversion.checkpoint.tokenizer_dir, destination / TOKENIZER)
    for name, text in conversion.texts.items():
        write_text_atomic(destination / name, text)
    _check_result(conversion.checkpoint.config, destination)
    _write_manifest(conversion, destination, done, finished=True)


def _own_manifest(conversion: Conversion, destination: Path) -> Manifest | None:
    source = conversion.checkpoint.path
    if destination.resolve().is_relative_to(source.resolve()):
        raise InvalidInput(f"{destination} lies inside the source {source}; give a folder outside of it")
    if not destination.exists():
        return None
    if not destination.is_dir():
        raise InvalidInput(f"{destination} is a file, and the result is a folder; give another destination")
    manifest = read_manifest(destination)
    if manifest is not None and manifest.origin == conversion.origin:
        return manifest
    if any(destination.iterdir()):
        found = "another checkpoint" if manifest else "files that no conversion wrote"
        raise InvalidInput(f"{destination} holds {found}; give an empty or a new folder, nothing is overwritten")
    return None


def _is_done(path: Path, name: str, manifest: Manifest | None) -> bool:
    return manifest is not None and path.is_file() and manifest.files.get(name) == fingerprint(path)


def _write_manifest(conversion: Conversion, destination: Path, done: dict[str, str], *, finished: bool) -> None:
    checkpoint = conversion.checkpoint
    command = command_line("convert", checkpoint.path, destination, "--task", checkpoint.config.name)
    write_manifest(
        destination,
        Manifest(
            made_by=command,
            origin=conversion.origin,
            finished=finished,
            files=done,
        ),
    )


def _write(file: WeightFile, path: Path, on_bytes: OnBytes) -> None:
    write_safetensors(path, file.specs, _Reader(file), on_bytes)
    _verify(path, file.specs, _Reader(file))


class _Reader:
    """Reads a file's tensors from the source, which is opened anew after every GiB.

    A .pth that is open keeps all that was read from it in memory.
    """

    def __init__(self, file: WeightFile) -> None:
        self._file = file
        self._read_bytes = _REOPEN_BYTES

    def __call__(self, spec: TensorSpec) -> torch.Tensor:
        if self._read_bytes >= _REOPEN_BYTES:
            self._component = self._file.open_component()
            self._read_bytes = 0
        self._read_bytes += spec.byte_count
        return self._component.read(self._file.sources[spec.name], torch.Size(spec.shape))


def _verify(path: Path, specs: Sequence[TensorSpec], read: Callable[[TensorSpec], torch.Tensor]) -> None:
    """Names, shapes and, of tensors spread over the file, every bit."""
    if read_shapes(path) != {spec.name: spec.shape for spec in specs}:
        raise CheckpointError(
            f"{path} does not hold the tensors that were written to it; check the disk, and run again"
        )
    written = open_weights([path])
    for spec in specs[:: max(1, len(specs) // _SAMPLED_TENSORS)]:
        if not torch.equal(as_bytes(written.read(spec.name)), as_bytes(read(spec))):
            path.unlink()
            raise CheckpointError(
                f"{path} does not hold {spec.name} as it was read; check the disk and the memory, and run again"
            )


def _check_result(config: TaskConfig, destination: Path) -> None:
    """What a run checks, for a directory whose manifest is still open."""
    layout = recognise(destination)
    assert layout is not None, destination
    checkpoint = Checkpoint(path=destination, config=config, layout=layout)
    for problem in (*layout.problems(destination, config), *weight_problems(checkpoint)):
        raise CheckpointError(problem.sentence)


def _copy_tokenizer(source: Path, destination: Path) -> None:
    for file in sorted(source.iterdir()):
        if file.is_file() and not file.name.startswith("."):
            with atomic_path(destination / file.name) as temporary:
                shutil.copyfile(file, temporary)
