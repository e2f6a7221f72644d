"""Whether every file under its final name opens whole, and whether two runs made the same."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file

from wan.runs.atomic import PARTIAL_PATTERN
from wan.runs.latents import load_latents
from wan.runs.record import FINISHED
from wan.runs.state_file import STATE_NAME
from wan.runs.video import read_video


def half_files(folder: Path) -> str | None:
    """The fault of a folder in which a file under its final name does not open to its end."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.match(PARTIAL_PATTERN):
            continue
        try:
            _OPENS.get(path.suffix, lambda _: None)(path)
        except Exception as error:  # noqa: BLE001 - every library has its own
            return f"{path.name} is a half file: {type(error).__name__}: {error}"
    return None


def partial_files(folder: Path) -> str | None:
    """The fault of a folder in which temporary files are left."""
    left = sorted(path.name for path in folder.rglob(PARTIAL_PATTERN))
    return f"left temporary files: {', '.join(left)}" if left else None


def run_folders(output_dir: Path) -> list[Path]:
    """The run folders of an output folder, by name."""
    return sorted(path for path in output_dir.glob("t2v-demo_*") if path.is_dir())


def not_as_finished(run: Path, reference: Path, *, video: Path | None = None) -> str | None:
    """The fault of a run that must be finished and bit-equal to another one."""
    fault = half_files(run) or partial_files(run)
    if fault:
        return fault
    status = json.loads((run / "run.json").read_text(encoding="utf-8"))["status"]
    if status != FINISHED:
        return f"its record says {status}"
    if (run / STATE_NAME).exists():
        return "the resume file of a finished run is left"
    if not torch.equal(load_latents(run / "latents.safetensors"), load_latents(reference / "latents.safetensors")):
        return "its latents are not bit-equal to those of the run that was never stopped"
    made, wanted = read_video(video or run / "video.mp4").shape, read_video(reference / "video.mp4").shape
    return None if made == wanted else f"its video has the shape {made} and not {wanted}"


def _picture(path: Path) -> None:
    with Image.open(path) as picture:
        picture.load()


def _page(path: Path) -> None:
    if not path.read_text(encoding="utf-8").endswith("</html>\n"):
        raise ValueError("it does not end with </html>")


_OPENS: Mapping[str, Callable[[Path], object]] = {
    ".safetensors": load_file,
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".mp4": read_video,
    ".png": _picture,
    ".html": _page,
    ".pt": lambda path: torch.load(path, weights_only=True),
}
