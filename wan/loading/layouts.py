"""Recognise a checkpoint directory and check it without reading a weight; sizes come from its config files."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wan.commands import SOURCE_DIR, command_line
from wan.configs import WAN_CONFIGS, TaskConfig
from wan.errors import CheckpointError
from wan.loading.denoiser_files import Replaced
from wan.loading.described_model import DescribedModel, fitting_tasks, mismatch, size_mismatch
from wan.loading.diffusers_layout import DiffusersLayout
from wan.loading.expert_identity import identity_problems
from wan.loading.files import experts_of
from wan.loading.fingerprint import read_manifest
from wan.loading.foreign import foreign_by_bytes
from wan.loading.headers import PICKLE_SUFFIXES, SAFETENSORS_SUFFIX, check_whole
from wan.loading.official_layout import EXPERT_FOLDERS, OfficialLayout
from wan.loading.problems import CHECK_ANY_TASK, DOWNLOAD_ELSEWHERE, Problem, verbatim
from wan.sampling.plan import Expert
from wan.sampling.price import DenoiserSize
from wan.untrusted.refusal import Refused, shown
from wan.untrusted.regular import is_regular

TEXT_LEN_WITH_IMAGE = 512
PACKAGED_CHECKPOINT = Path(__file__).parents[1] / "demo_checkpoint"
"""Where a wheel puts the demo model."""


class Layout(Protocol):
    """One way to arrange a checkpoint directory."""

    @property
    def name(self) -> str:
        """Official or diffusers."""

    def recognises(self, path: Path) -> bool:
        """Whether the directory is arranged this way, whole or not."""

    def family_problems(self, path: Path) -> Iterator[Problem]:
        """Why it is no model of Wan at all, where it says so."""

    def described_model(self, path: Path) -> DescribedModel | None:
        """What its denoisers are; None when no config.json says it, CheckpointError when it cannot be believed."""

    def problems(self, path: Path, config: TaskConfig, *, replaced: Collection[Expert] = ()) -> Iterator[Problem]:
        """Everything that keeps the directory from serving the task; reads config files and headers only.

        ``replaced``: experts whose weights are elsewhere.
        """

    def expert_folder(self, path: Path, expert: Expert) -> Path:
        """Where one expert's files are."""

    def denoiser_size(self, path: Path, config: TaskConfig) -> DenoiserSize:
        """What the price model needs."""

    def text_len(self, path: Path, config: TaskConfig) -> int:
        """Positions that the denoiser attends to."""

    def tokenizer_dir(self, path: Path) -> Path:
        """Where the tokenizer's files are."""


LAYOUTS: tuple[Layout, ...] = (DiffusersLayout(), OfficialLayout())


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A checked directory; ``replaced``: experts whose weights are in single files elsewhere."""

    path: Path
    config: TaskConfig
    layout: Layout
    replaced: Replaced = ()

    @property
    def denoiser_size(self) -> DenoiserSize:
        """What the price model needs, from the checkpoint instead of the task's official sizes."""
        return self.layout.denoiser_size(self.path, self.config)

    @property
    def text_len(self) -> int:
        return self.layout.text_len(self.path, self.config)

    @property
    def tokenizer_dir(self) -> Path:
        return self.layout.tokenizer_dir(self.path)


def known_checkpoint_dir(config: TaskConfig, ckpt_dir: str | Path | None) -> Path | None:
    """The same directory, or None where a user named none and the task brings none."""
    if ckpt_dir is None and config.bundled_checkpoint is None:
        return None
    return find_checkpoint_dir(config, ckpt_dir)


def find_checkpoint_dir(config: TaskConfig, ckpt_dir: str | Path | None) -> Path:
    """The directory a user named, or the task's bundled one; ``CheckpointError`` says how to get one."""
    if ckpt_dir is not None:
        return Path(ckpt_dir)
    if config.bundled_checkpoint is not None:
        in_clone = SOURCE_DIR / config.bundled_checkpoint
        return in_clone if in_clone.is_dir() else PACKAGED_CHECKPOINT
    raise CheckpointError(
        f"--task {config.name} needs --ckpt_dir. Get the checkpoint with "
        f"`{command_line('download', '--task', config.name)}`, or try the model that ships with the project: "
        f"`{command_line('generate', '--task', 't2v-demo')}`"
    )


def open_checkpoint(config: TaskConfig, path: Path, *, replaced: Replaced = ()) -> Checkpoint:
    """Check that ``path`` holds what the task needs; ``CheckpointError`` names the first thing that is wrong."""
    try:
        problems = list(checkpoint_problems(config, path, replaced=[expert for expert, _ in replaced]))
    except OSError as error:
        raise CheckpointError(
            f"--ckpt_dir {path} cannot be read ({error.strerror or error}); check its permissions and its disk"
        ) from error
    if problems:
        more = f" ({len(problems) - 1} more: {command_line('doctor', '--ckpt_dir', path, '--task', config.name)})"
        raise CheckpointError(problems[0].sentence + (more if len(problems) > 1 else ""))
    layout = recognise(path)
    assert layout is not None
    return Checkpoint(path=path, config=config, layout=layout, replaced=replaced)


def checkpoint_problems(config: TaskConfig, path: Path, *, replaced: Collection[Expert] = ()) -> Iterator[Problem]:
    """Everything that keeps ``path`` from serving the task, as far as config files and headers tell.

    ``replaced``: experts whose weights are elsewhere, so that only their config.json has to be here. Where another task
    fits the model, what is missing is judged by that task.
    """
    if not path.is_dir():
        yield no_directory(path)
        return
    manifest = read_manifest(path)
    if manifest is not None and not manifest.finished:
        unfinished = f"--ckpt_dir {path} is unfinished; run the command that makes it again, it continues"
        yield Problem(unfinished, mend=verbatim(manifest.made_by))
        return
    layout = recognise(path)
    if layout is None:
        yield _unrecognised(path, config)
        return
    if foreign := list(layout.family_problems(path)):
        yield from foreign
        return
    try:
        described = layout.described_model(path)
    except CheckpointError as error:
        yield Problem(str(error))
        return
    wrong_task = described and (mismatch(described, config, path) or size_mismatch(described, config))
    if wrong_task:
        yield wrong_task
        if wrong_task.task is None:
            return
        config = WAN_CONFIGS[wrong_task.task]
    yield from layout.problems(path, config, replaced=replaced)
    if config.has_two_experts and not replaced:
        high, low = (layout.expert_folder(path, expert) for expert in experts_of(config))
        yield from identity_problems(path, high, low)
    if config.has_image_encoder and described and layout.text_len(path, config) != TEXT_LEN_WITH_IMAGE:
        yield Problem(
            f"{described.source} has the text length {layout.text_len(path, config)}; --task {config.name} needs "
            f"{TEXT_LEN_WITH_IMAGE}, by which diffusers tells image from text positions"
        )


def served_tasks(path: Path) -> tuple[str, ...]:
    """The tasks that a directory's model serves, the likeliest first; none when it does not tell.

    ``CheckpointError`` when it is no directory.
    """
    if not path.is_dir():
        raise CheckpointError(no_directory(path).sentence)
    try:
        layout = recognise(path)
        for problem in layout.family_problems(path) if layout else ():
            raise CheckpointError(problem.sentence)
        described = layout.described_model(path) if layout else None
    except OSError as error:
        raise CheckpointError(f"--ckpt_dir {path} cannot be read ({error.strerror or error})") from error
    return fitting_tasks(described) if described else ()


def no_directory(path: Path) -> Problem:
    """What stands in the place of the folder: nothing, or a file, which is named where its kind is known."""
    if is_regular(path) and (sentence := _foreign_file(path) or _foreign_bytes(path)):
        return Problem(sentence, mend=DOWNLOAD_ELSEWHERE)
    return Problem(f"--ckpt_dir {path} is not a directory; give the folder that the checkpoint was saved to")


def _foreign_bytes(path: Path) -> str | None:
    foreign = foreign_by_bytes(path)
    return foreign.sentence(path) if foreign else None


def _foreign_file(path: Path) -> str | None:
    """The sentence about a weight file that is of no use here; None for any other file."""
    if path.suffix not in (SAFETENSORS_SUFFIX, *PICKLE_SUFFIXES, ".gguf", ".ckpt", ".zip"):
        return None
    try:
        if foreign := foreign_by_bytes(path):
            return foreign.sentence(path)
        if path.suffix in (SAFETENSORS_SUFFIX, *PICKLE_SUFFIXES):
            check_whole(path)
    except (CheckpointError, Refused) as error:
        return str(error)
    return f"{path} is one file of a checkpoint, and --ckpt_dir wants the whole folder (denoiser, VAE, text encoder)"


def recognise(path: Path) -> Layout | None:
    """The layout that a directory has, whole or not; None when it is no checkpoint, or only one expert of one."""
    whole = path.resolve()
    if whole.name in EXPERT_FOLDERS.values() and _arrangement(whole.parent) is not None:
        return None  # by itself it looks like a model with one expert
    return _arrangement(path)


def _arrangement(path: Path) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.recognises(path)), None)


def _unrecognised(path: Path, config: TaskConfig) -> Problem:
    """What the directory is instead of a checkpoint."""
    nearby = [path.parent, *path.glob("*"), *path.glob("snapshots/*")]
    for candidate in nearby:
        if candidate.is_dir() and recognise(candidate) is not None:
            other = f"--ckpt_dir {path} is not the checkpoint's folder, {candidate} is; give that one"
            return Problem(other, mend=CHECK_ANY_TASK, ckpt_dir=candidate)
    files = sorted(entry for entry in path.iterdir() if is_regular(entry))
    if foreign := next(filter(None, map(_foreign_file, files)), None):
        return Problem(f"--ckpt_dir {path} is no Wan checkpoint: {foreign}", mend=DOWNLOAD_ELSEWHERE)
    found = shown(", ".join(sorted(entry.name for entry in path.iterdir())[:5]), 300) or "nothing"
    return Problem(
        f"--ckpt_dir {path} is no Wan checkpoint: it holds {found}, but neither model_index.json (diffusers layout) "
        f"nor config.json or high_noise_model/ (official layout); download {' or '.join(config.repositories.values())}",
        mend=DOWNLOAD_ELSEWHERE,
    )
