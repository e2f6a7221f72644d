"""Where checkpoints are published, behind one small interface; the hubs' own clients do the transfer and resume it."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

from wan.errors import InvalidInput, WanError


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository: name relative to it, and bytes."""

    name: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A repository at one commit (or, where the hub does not tell, branch or tag)."""

    repository: str
    revision: str
    files: tuple[RemoteFile, ...]


class Hub(Protocol):
    """What a download needs of a hub."""

    @property
    def name(self) -> str:
        """As in ``--source``."""

    def list_files(self, repository: str, revision: str | None) -> Snapshot:
        """InvalidInput when there is no such repository or revision, WanError when the hub cannot be reached."""

    def fetch(self, snapshot: Snapshot, names: Sequence[str], folder: Path) -> None:
        """Put the named files into ``folder``, continuing what was begun; WanError when that fails."""


class HuggingFace:
    """huggingface.co, or the mirror that HF_ENDPOINT names."""

    name = "huggingface"

    def list_files(self, repository: str, revision: str | None) -> Snapshot:
        import huggingface_hub
        from huggingface_hub import errors

        try:
            info = huggingface_hub.HfApi().model_info(repository, revision=revision, files_metadata=True)
        except errors.RevisionNotFoundError as error:
            raise _no_revision(repository, revision, self.name) from error
        except errors.RepositoryNotFoundError as error:
            raise _no_repository(repository, self.name) from error
        except _own_errors(errors) as error:
            raise _unreachable(self.name, error, other="modelscope") from error
        files = tuple(RemoteFile(file.rfilename, file.size or 0) for file in info.siblings or ())
        return Snapshot(repository=repository, revision=info.sha or revision or "main", files=files)

    def fetch(self, snapshot: Snapshot, names: Sequence[str], folder: Path) -> None:
        import huggingface_hub
        from huggingface_hub import errors

        try:
            huggingface_hub.snapshot_download(
                snapshot.repository, revision=snapshot.revision, local_dir=folder, allow_patterns=list(names)
            )
        except _own_errors(errors) as error:
            raise _unreachable(self.name, error, other="modelscope") from error


class ModelScope:
    """modelscope.cn, through its own package, which is asked for only here."""

    name = "modelscope"

    def list_files(self, repository: str, revision: str | None) -> Snapshot:
        api, errors = _modelscope("modelscope.hub.api"), _modelscope("modelscope.hub.errors")
        revision = revision or "master"
        try:
            listed = api.HubApi().get_model_files(repository, revision=revision, recursive=True)
        except errors.NotExistError as error:
            raise _no_revision(repository, revision, self.name) from error
        except _own_errors(errors) as error:
            raise _unreachable(self.name, error, other="huggingface") from error
        # older versions of the package list folders too
        files = tuple(RemoteFile(file["Path"], int(file["Size"] or 0)) for file in listed if file.get("Type") != "tree")
        return Snapshot(repository=repository, revision=revision, files=files)

    def fetch(self, snapshot: Snapshot, names: Sequence[str], folder: Path) -> None:
        package, errors = _modelscope("modelscope"), _modelscope("modelscope.hub.errors")
        try:
            package.snapshot_download(
                snapshot.repository, revision=snapshot.revision, local_dir=str(folder), allow_patterns=list(names)
            )
        except _own_errors(errors) as error:
            raise _unreachable(self.name, error, other="huggingface") from error


HUBS: dict[str, Callable[[], Hub]] = {HuggingFace.name: HuggingFace, ModelScope.name: ModelScope}


def _modelscope(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InvalidInput(
            "--source modelscope needs the package modelscope, which is not installed; run `pip install modelscope`"
        ) from error


def _own_errors(errors: ModuleType) -> tuple[type[Exception], ...]:
    """Everything that a client's module of errors defines or builds on: base classes differ between its versions."""
    defined = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    return (OSError, *defined)


def _no_repository(repository: str, hub: str) -> InvalidInput:
    return InvalidInput(f"{hub} has no public repository {repository}; check its name, or log in if it is private")


def _no_revision(repository: str, revision: str | None, hub: str) -> InvalidInput:
    return InvalidInput(
        f"{hub} has no {repository} at --revision {revision}; give a branch, tag or commit of that repository"
    )


def _unreachable(hub: str, error: Exception, *, other: str) -> WanError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return WanError(
        f"{hub} did not deliver ({reason}); run the same command again, it resumes, or try --source {other}"
    )
