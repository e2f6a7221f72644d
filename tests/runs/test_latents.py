"""Latents on disk: bit-equal, with metadata, and clear about files that are something else."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from wan.errors import InvalidInput
from wan.runs.latents import load_latents, save_latents


def test_round_trip_is_bit_equal_and_keeps_metadata(tmp_path: Path) -> None:
    latents = torch.randn(16, 13, 8, 8, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "latents.safetensors"
    save_latents(path, latents.transpose(2, 3), metadata={"prompt": "红色", "seed": "42"})
    loaded = load_latents(path)
    assert loaded.dtype == torch.float32 and torch.equal(loaded, latents.transpose(2, 3))
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"prompt": "红色", "seed": "42"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("latents", [torch.zeros(1, 16, 3, 4, 4), torch.zeros(16, 3, 4, 4, dtype=torch.bfloat16)])
def test_only_float32_of_one_video_is_latents(tmp_path: Path, latents: torch.Tensor) -> None:
    with pytest.raises(AssertionError):
        save_latents(tmp_path / "latents.safetensors", latents, metadata={})


def test_a_file_without_latents_is_named_with_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(InvalidInput, match=r"other\.safetensors has no tensor 'latents', only 'weight'"):
        load_latents(path)


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latents.safetensors"
    with pytest.raises(InvalidInput, match="does not exist"):
        load_latents(path)
    save_latents(path, torch.zeros(1, 2, 4, 4), metadata={})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InvalidInput, match="not a whole safetensors file"):
        load_latents(path)


def test_a_failed_write_is_an_os_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file where the run folder should be")
    with pytest.raises(OSError, match="folder"):
        save_latents(tmp_path / "folder" / "latents.safetensors", torch.zeros(1, 2, 4, 4), metadata={})
