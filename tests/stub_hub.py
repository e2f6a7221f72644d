"""A stub of a model hub's client that serves a folder as a repository: downloads are tested without a network."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

SHA = "0123456789abcdef"


@dataclass
class StubHub:
    """A repository in a folder, behind both clients' functions; ``fetched`` is what was asked for."""

    repository: Path
    fetched: list[str] = field(default_factory=list)

    def model_info(self, name: str, *, revision: str | None, files_metadata: bool) -> SimpleNamespace:
        assert files_metadata, "without it the hub tells no sizes"
        siblings = [SimpleNamespace(rfilename=path, size=size) for path, size in self._files().items()]
        return SimpleNamespace(sha=SHA, siblings=siblings)

    def get_model_files(self, name: str, *, revision: str, recursive: bool) -> list[dict[str, Any]]:
        folders = [{"Path": "high_noise_model", "Size": 0, "Type": "tree"}]
        return folders + [{"Path": path, "Size": size, "Type": "blob"} for path, size in self._files().items()]

    def snapshot_download(self, name: str, *, revision: str, local_dir: Path, allow_patterns: list[str]) -> None:
        self.fetched += allow_patterns
        for path in allow_patterns:
            target = Path(local_dir) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.repository / path, target)

    def _files(self) -> dict[str, int]:
        files = sorted(path for path in self.repository.rglob("*") if path.is_file())
        return {path.relative_to(self.repository).as_posix(): path.stat().st_size for path in files}


def serve(folder: Path, monkeypatch: pytest.MonkeyPatch) -> StubHub:
    """Put the stub in the place of huggingface_hub's functions."""
    hub = StubHub(folder)
    monkeypatch.setattr(
        huggingface_hub.HfApi, "model_info", lambda api, *args, **kwargs: hub.model_info(*args, **kwargs)
    )
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub
