"""Versions, checkpoint hashes against hashlib, and the command that repeats a run."""

import hashlib
import platform
import re
from pathlib import Path

import pytest
import torch

import wan
from wan.errors import CheckpointError
from wan.runs import checkpoint_identity, device_name, environment_versions, git_revision, provenance


def make_checkpoint(directory: Path) -> Path:
    (directory / "transformer").mkdir(parents=True)
    (directory / "model_index.json").write_text("{}")
    (directory / "transformer" / "model.safetensors").write_bytes(b"weights")
    return directory


def test_versions_are_those_that_run() -> None:
    versions = environment_versions()
    assert versions["python"] == platform.python_version()
    assert versions["wan"] == wan.__version__
    assert versions["torch"] == torch.__version__
    assert {"diffusers", "transformers", "platform", "device"} <= versions.keys()


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "RECORDED_PACKAGES", ("no-such-package-here",))
    assert environment_versions()["no-such-package-here"] is None


def test_device_names() -> None:
    assert re.fullmatch(r".+ \(\d+ cores\)", device_name("cpu"))
    assert device_name("mps") == "mps"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_name() -> None:
    assert torch.cuda.get_device_name(0) in device_name("cuda:0")


def test_git_revision_is_a_commit_or_nothing() -> None:
    revision = git_revision()
    assert revision is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", revision)


def test_identity_holds_size_and_hash_of_every_file(tmp_path: Path) -> None:
    identity = checkpoint_identity(make_checkpoint(tmp_path / "demo"))
    assert list(identity["files"]) == ["model_index.json", "transformer/model.safetensors"]
    assert identity["files"]["transformer/model.safetensors"] == {
        "size": 7,
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "method": "whole",
    }
    lines = "".join(f"{entry['sha256']} {entry['size']} {name}\n" for name, entry in identity["files"].items())
    assert identity["id"] == hashlib.sha256(lines.encode()).hexdigest()


def test_identity_is_the_same_elsewhere_and_ignores_what_no_loader_reads(tmp_path: Path) -> None:
    first = make_checkpoint(tmp_path / "first")
    second = make_checkpoint(tmp_path / "second")
    (second / "README.md").write_text("model card")
    (second / ".cache").mkdir()
    (second / ".cache" / "download.json").write_text("{}")
    assert checkpoint_identity(first)["id"] == checkpoint_identity(second)["id"]


@pytest.mark.parametrize("change", ["content", "name"])
def test_identity_changes_with_content_and_name(tmp_path: Path, change: str) -> None:
    directory = make_checkpoint(tmp_path)
    before = checkpoint_identity(directory)["id"]
    weights = directory / "transformer" / "model.safetensors"
    if change == "content":
        weights.write_bytes(b"Weights")
    else:
        weights.rename(weights.with_stem("other"))
    assert checkpoint_identity(directory)["id"] != before


def test_large_files_are_hashed_by_their_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "WHOLE_FILE_BYTES", 10)
    monkeypatch.setattr(provenance, "END_BYTES", 3)
    (tmp_path / "model.safetensors").write_bytes(b"abcdefghijklm")
    identity = checkpoint_identity(tmp_path)
    assert identity["files"]["model.safetensors"] == {
        "size": 13,
        "sha256": hashlib.sha256(b"abc" + b"klm" + b"13").hexdigest(),
        "method": "ends",
    }
    assert "'ends'" in identity["method"]


def test_a_missing_or_empty_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent is not a folder"):
        checkpoint_identity(tmp_path / "absent")
    (tmp_path / "notes.md").write_text("")
    with pytest.raises(CheckpointError, match="holds no model file"):
        checkpoint_identity(tmp_path)
