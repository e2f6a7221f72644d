"""The whole state of a checkpoint directory: what it is, which tasks it serves, everything that is wrong with it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wan.commands import in_clone, program
from wan.configs import WAN_CONFIGS, TaskConfig
from wan.errors import CheckpointError
from wan.loading.described_model import fitting_tasks, size_mismatch
from wan.loading.files import INDEX_PATTERN, read_json
from wan.loading.headers import PICKLE_SUFFIXES, SAFETENSORS_SUFFIX
from wan.loading.inside import is_shard_name
from wan.loading.layouts import Checkpoint, Layout, checkpoint_problems, recognise
from wan.loading.models import weight_problems
from wan.loading.problems import CHECK_TASK, Problem

RUN_BYTES = 2**30
"""What a run folder may need: the latents and the video take far less."""

_DEFAULT_TASK = "t2v-A14B"
_RESTORE = "git restore {ckpt_dir}" if in_clone() else "pip install --force-reinstall wan22-shortcut"
_LARGER_DISK = program("download") + " --task {task} --layout {layout} --output_dir /a/larger/disk"
_OUTPUT_ELSEWHERE = program("generate") + " --task {task} --ckpt_dir {ckpt_dir} --output_dir /a/larger/disk"


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """``tasks``: those that the model serves; ``config``: the one that the directory was judged by."""

    ckpt_dir: Path
    layout: str | None
    tasks: tuple[str, ...]
    config: TaskConfig
    weight_files: int
    weight_bytes: int
    free_bytes: int
    problems: tuple[Problem, ...]

    def command(self, problem: Problem) -> str:
        """What mends one of the problems."""
        bundled = self.config.bundled_checkpoint
        if bundled and problem.mend not in (CHECK_TASK, _OUTPUT_ELSEWHERE):
            return _RESTORE.format(ckpt_dir=bundled)
        return problem.command(task=self.config.name, layout=self.layout or "official", ckpt_dir=self.ckpt_dir)


def diagnose(
    ckpt_dir: Path,
    config: TaskConfig | None = None,
    *,
    output_dir: Path = Path("outputs"),
    read_all: bool = False,
) -> Diagnosis:
    """Examine a directory for a task, or for the one that its model was made for.

    Reads config files, headers and small tensors; with ``read_all`` every number of every weight file. Raises OSError
    when the directory cannot be read.
    """
    layout = recognise(ckpt_dir) if ckpt_dir.is_dir() else None
    found = list(_unbelievable(layout, ckpt_dir)) if layout else []
    tasks = _fitting(layout, ckpt_dir) if layout and not found else ()
    judged = config or WAN_CONFIGS[tasks[0] if tasks else _DEFAULT_TASK]
    if not found and config is None:
        found += _untold(layout, ckpt_dir, tasks)
    found += found or checkpoint_problems(judged, ckpt_dir)
    if judged.name not in tasks and any(problem.task in tasks for problem in found):
        judged = WAN_CONFIGS[tasks[0]]  # what is missing was judged by the task that fits
    if layout and tasks:
        found += _deep_problems(layout, ckpt_dir, judged, read_all=read_all)
    found += _disk_problems(ckpt_dir, output_dir)
    weights = _weight_files(ckpt_dir)
    return Diagnosis(
        ckpt_dir=ckpt_dir,
        layout=layout.name if layout else None,
        tasks=tasks,
        config=judged,
        weight_files=len(weights),
        weight_bytes=sum(file.stat().st_size for file in weights),
        free_bytes=free_bytes(ckpt_dir),
        problems=tuple({problem.sentence: problem for problem in found}.values()),
    )


def free_bytes(path: Path) -> int:
    """Free space of the disk that ``path`` is on, or would be on once it is made."""
    existing = next(parent for parent in (path.resolve(), *path.resolve().parents) if parent.exists())
    return shutil.disk_usage(existing).free


def format_bytes(count: float) -> str:
    """Bytes for people: decimal, as disks and download pages count."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count / 1e3:.2f} kB"


def _unbelievable(layout: Layout, ckpt_dir: Path) -> Iterator[Problem]:
    """A problem when the directory says that it is no model of Wan, or one that cannot be."""
    if foreign := list(layout.family_problems(ckpt_dir)):
        yield from foreign
        return
    try:
        layout.described_model(ckpt_dir)
    except CheckpointError as error:
        yield Problem(str(error))


def _fitting(layout: Layout, ckpt_dir: Path) -> tuple[str, ...]:
    described = layout.described_model(ckpt_dir)
    return fitting_tasks(described) if described else ()


def _untold(layout: Layout | None, ckpt_dir: Path, tasks: tuple[str, ...]) -> Iterator[Problem]:
    """A problem when no task was given and the directory does not tell."""
    if layout and not tasks:
        yield Problem(
            f"{ckpt_dir} has no config.json of a denoiser that a task here runs; give --task to see what is missing",
            mend=CHECK_TASK,
        )


def _deep_problems(layout: Layout, ckpt_dir: Path, config: TaskConfig, *, read_all: bool) -> Iterator[Problem]:
    """Names and shapes of every tensor against the models, its numbers, and whether the model is the task's own."""
    described = layout.described_model(ckpt_dir)
    if described and (unsuited := size_mismatch(described, config)):
        yield unsuited
    yield from weight_problems(Checkpoint(path=ckpt_dir, config=config, layout=layout), read_all=read_all)


def _disk_problems(ckpt_dir: Path, output_dir: Path) -> Iterator[Problem]:
    missing, free = sum(map(_missing_bytes, ckpt_dir.glob(f"**/{INDEX_PATTERN}"))), free_bytes(ckpt_dir)
    if missing > free:
        yield Problem(
            f"the missing weights of {ckpt_dir} need {format_bytes(missing)} and its disk has {format_bytes(free)} "
            "free; free some space, or download to a larger disk",
            mend=_LARGER_DISK,
        )
    if (free := free_bytes(output_dir)) < RUN_BYTES:
        yield Problem(
            f"the disk of {output_dir} has {format_bytes(free)} free, and a run should have {format_bytes(RUN_BYTES)} "
            "for its latents and video; free some space, or give another --output_dir",
            mend=_OUTPUT_ELSEWHERE,
        )


def _missing_bytes(index: Path) -> int:
    """What the shards of one index lack of the total that it states; 0 when it states none."""
    try:
        content = read_json(index)
        total = int(content["metadata"]["total_size"])
        names = {name for name in content["weight_map"].values() if is_shard_name(name)}
    except (CheckpointError, LookupError, TypeError, ValueError, AttributeError):
        return 0  # an index may leave the total out; a broken one is reported where its shards are
    return max(0, total - sum(_size(index.parent / name) for name in names))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _weight_files(ckpt_dir: Path) -> list[Path]:
    suffixes = {SAFETENSORS_SUFFIX, *PICKLE_SUFFIXES}
    return [path for path in ckpt_dir.glob("**/*") if path.suffix in suffixes and path.is_file()]
