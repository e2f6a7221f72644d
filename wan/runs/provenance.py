"""What made a run: library versions, device, checkpoint hashes and source revision."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import wan
from wan.errors import CheckpointError

RECORDED_PACKAGES = ("torch", "diffusers", "transformers", "tokenizers", "safetensors", "numpy", "av")

# What a loader reads; pictures and the model card can change without changing the model.
# What was learnt about a checkpoint is no part of it.
CALIBRATION_NAME = "calibration.json"
CHECKPOINT_SUFFIXES = frozenset({".safetensors", ".json", ".pth", ".pt", ".bin", ".model", ".txt"})
WHOLE_FILE_BYTES = 64 * 2**20
END_BYTES = 2**20
_METHOD = (
    "id: sha256 over one line '<sha256> <size> <path>' per file, sorted by path; "
    "file 'whole': sha256 of the content; "
    "file 'ends' (over 64 MiB): sha256 of the first MiB, the last MiB and the size in decimal"
)


def environment_versions(device: str = "cpu") -> dict[str, str | None]:
    """Versions of Python, this package and what it computes with (None: not installed), platform and device name."""
    return {
        "python": platform.python_version(),
        "wan": wan.__version__,
        **{package: _installed_version(package) for package in RECORDED_PACKAGES},
        "platform": platform.platform(),
        "device": device_name(device),
        "revision": git_revision(),
    }


def device_name(device: str) -> str:
    """What ``device`` ('cpu', 'cuda', 'cuda:1', ...) is called, with its core count or memory where known."""
    if device.startswith("cuda"):
        import torch  # only here: a record of a CPU run needs no torch

        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name} ({properties.total_memory / 2**30:.0f} GiB)"
    if device == "cpu":
        return f"{_processor_name()} ({os.cpu_count()} cores)"
    return device


def checkpoint_identity(ckpt_dir: Path) -> dict[str, Any]:
    """Size and sha256 of every file that a loader may read, and one ``id`` over all; see ``method`` for how.

    Raises CheckpointError when the folder is missing or holds no such file.
    """
    if not ckpt_dir.is_dir():
        raise CheckpointError(f"the checkpoint {ckpt_dir} is not a folder: give the folder that holds the model")
    files = {path.relative_to(ckpt_dir).as_posix(): file_identity(path) for path in _checkpoint_files(ckpt_dir)}
    if not files:
        raise CheckpointError(f"the checkpoint {ckpt_dir} holds no model file: download it again")
    lines = [f"{entry['sha256']} {entry['size']} {name}\n" for name, entry in sorted(files.items())]
    identity = hashlib.sha256("".join(lines).encode()).hexdigest()
    return {"path": str(ckpt_dir), "id": identity, "method": _METHOD, "files": dict(sorted(files.items()))}


def file_identity(path: Path) -> dict[str, Any]:
    """Size and sha256 of one file, over all of it or over its ends, as ``method`` says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= WHOLE_FILE_BYTES:
            return {"size": size, "sha256": hashlib.file_digest(file, "sha256").hexdigest(), "method": "whole"}
        digest = hashlib.sha256(file.read(END_BYTES))
        file.seek(size - END_BYTES)
        digest.update(file.read(END_BYTES))
        digest.update(str(size).encode())
        return {"size": size, "sha256": digest.hexdigest(), "method": "ends"}


def source_digest(names: Iterable[str]) -> str:
    """SHA-256 over source files of this package: a name is a module ("session.py") or a folder of modules."""
    root = Path(wan.__file__).parent
    files = [
        path for name in names for path in ([root / name] if name.endswith(".py") else (root / name).rglob("*.py"))
    ]
    digest = hashlib.sha256()
    for path in sorted(path for path in files if path.is_file()):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def git_revision() -> str | None:
    """The commit that this source tree is at, ``-dirty`` when changed; None outside a repository or without git."""
    source_dir = Path(__file__).resolve().parents[2]
    if not (source_dir / ".git").exists():
        return None
    command = ["git", "-C", str(source_dir), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    # No optional locks: asking must not write to the index that a developer is working with.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _checkpoint_files(ckpt_dir: Path) -> list[Path]:
    # Hidden folders hold what downloaders and git keep for themselves.
    return [
        path
        for path in ckpt_dir.rglob("*")
        if path.suffix in CHECKPOINT_SUFFIXES
        and path.name != CALIBRATION_NAME
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(ckpt_dir).parts)
    ]
