"""Download a task's checkpoint: what it needs and no more, after checking that it fits, resuming what was begun."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from wan.commands import quoted
from wan.configs import TaskConfig
from wan.errors import CheckpointError, InvalidInput
from wan.loading import diffusers_layout, official_layout
from wan.loading.doctor import format_bytes, free_bytes
from wan.loading.download_hubs import Hub, RemoteFile, Snapshot
from wan.loading.files import experts_of
from wan.loading.fingerprint import Manifest, fingerprint, write_manifest
from wan.loading.headers import PICKLE_SUFFIXES, SAFETENSORS_SUFFIX, check_whole
from wan.loading.problems import DOWNLOAD

DOWNLOAD_DIR = Path("checkpoints")


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """``present``: files that are whole already; ``broken``: those of ``wanted`` whose local copy is replaced."""

    config: TaskConfig
    layout: str
    folder: Path
    snapshot: Snapshot
    present: tuple[RemoteFile, ...]
    wanted: tuple[RemoteFile, ...]
    broken: tuple[str, ...]

    @property
    def wanted_bytes(self) -> int:
        return sum(file.size for file in self.wanted)


def repository_for(config: TaskConfig, layout: str) -> str:
    """Where the checkpoint is published; ``InvalidInput`` when the task needs no download."""
    if layout not in config.repositories:
        raise InvalidInput(
            f"--task {config.name} ships with the project and needs no download; run it without --ckpt_dir"
        )
    return config.repositories[layout]


def patterns_for(config: TaskConfig, layout: str) -> tuple[str, ...]:
    """Shell patterns of the files that the task needs; pictures, examples and model cards are left out."""
    if layout == "diffusers":
        names = diffusers_layout
        folders = [names.EXPERT_FOLDERS[expert] for expert in experts_of(config)]
        folders += [names.VAE, names.TEXT_ENCODER, names.TOKENIZER, "scheduler"]
        folders += [names.IMAGE_ENCODER, "image_processor"] if config.has_image_encoder else []
        return ("model_index.json", *(f"{folder}/*" for folder in folders))
    experts = [official_layout.EXPERT_FOLDERS[expert] for expert in experts_of(config)]
    # in the root there is more than the denoiser
    denoisers = ("config.json", "diffusion_pytorch_model*") if experts == ["."] else tuple(f"{e}/*" for e in experts)
    single = (f"{official_layout.vae_stem(config)}.*", f"{official_layout.TEXT_ENCODER}.*")
    # the tokenizer of CLIP's text tower is read by the official code alone
    image = (f"{official_layout.IMAGE_ENCODER}.*", "xlm-roberta-large/*") if config.has_image_encoder else ()
    return (*denoisers, *single, f"{official_layout.TOKENIZER}/*", *image)


def plan_download(hub: Hub, config: TaskConfig, layout: str, folder: Path, *, revision: str | None = None) -> Download:
    """Compare what the hub lists with what ``folder`` has. Raises what the hub raises."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"--output_dir {folder} is a file; give a folder")
    snapshot = hub.list_files(repository_for(config, layout), revision)
    patterns = patterns_for(config, layout)
    needed = [file for file in snapshot.files if any(fnmatchcase(file.name, pattern) for pattern in patterns)]
    if not needed:
        raise InvalidInput(
            f"{snapshot.repository} at {snapshot.revision} holds none of {', '.join(patterns)}; check --revision"
        )
    state = {file: _state(folder / file.name, file) for file in needed}
    return Download(
        config=config,
        layout=layout,
        folder=folder,
        snapshot=snapshot,
        present=tuple(file for file in needed if state[file] == "present"),
        wanted=tuple(file for file in needed if state[file] != "present"),
        broken=tuple(file.name for file in needed if state[file] == "broken"),
    )


def check_disk(download: Download) -> None:
    """``InvalidInput`` when the disk has no room for what is wanted."""
    free = free_bytes(download.folder)
    if download.wanted_bytes > free:
        raise InvalidInput(
            f"--output_dir {download.folder} needs {format_bytes(download.wanted_bytes)} more and its disk has "
            f"{format_bytes(free)} free; free some space, or give a folder on a larger disk"
        )


def fetch(hub: Hub, download: Download) -> None:
    """Get what is wanted, and record what each weight file is. Raises what the hub raises, and OSError."""
    check_disk(download)
    for name in download.broken:
        # a client that has downloaded a file once does not look at it again
        (download.folder / name).unlink()
    if download.wanted:
        hub.fetch(download.snapshot, [file.name for file in download.wanted], download.folder)
    files = (*download.present, *download.wanted)
    write_manifest(
        download.folder,
        Manifest(
            made_by=_command(download),
            origin=f"{hub.name}:{download.snapshot.repository}@{download.snapshot.revision}",
            finished=True,
            files=_fingerprints(download.folder, files),
        ),
    )


def _state(path: Path, file: RemoteFile) -> str:
    if not path.is_file():
        return "missing"
    if path.stat().st_size != file.size:
        return "broken"
    try:
        if _is_weights(file.name):
            check_whole(path)
    except CheckpointError:
        return "broken"
    return "present"


def _fingerprints(folder: Path, files: tuple[RemoteFile, ...]) -> Mapping[str, str]:
    paths = {file.name: folder / file.name for file in files if _is_weights(file.name)}
    return {name: fingerprint(path) for name, path in paths.items() if path.is_file()}


def _is_weights(name: str) -> bool:
    return name.endswith((SAFETENSORS_SUFFIX, *PICKLE_SUFFIXES))


def _command(download: Download) -> str:
    return DOWNLOAD.format(task=download.config.name, layout=download.layout, ckpt_dir=quoted(download.folder))
