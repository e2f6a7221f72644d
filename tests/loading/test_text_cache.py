"""Text embeddings on disk: known prompts need no encoder, others get one, and checkpoints do not mix."""

from pathlib import Path

import pytest
import torch

import wan.loading.text_source as text_source
from tests.goldens import CPU, RUNS, materialise, recorded
from wan.errors import InvalidInput
from wan.loading.layouts import Checkpoint, open_checkpoint
from wan.loading.text_source import TextSource
from wan.sampling.guidance import Branch
from wan.text2video import WanT2V

RUN = "t2v_A14B_unipc"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return open_checkpoint(RUNS[RUN].config, materialise(RUN, tmp_path / "checkpoint"))


def source(checkpoint: Checkpoint, cache_dir: Path | None, dtype: torch.dtype = torch.float32) -> TextSource:
    return TextSource(checkpoint, dtype=dtype, device=CPU, cache_dir=cache_dir)


def test_a_known_prompt_needs_no_encoder(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = source(checkpoint, None).embed("a boat")
    assert torch.equal(source(checkpoint, tmp_path / "cache").embed("a boat"), expected)

    def load(*args: object, **kwargs: object) -> None:
        raise AssertionError("the encoder was read")

    monkeypatch.setattr(text_source, "load_text_encoder", load)
    texts = source(checkpoint, tmp_path / "cache")
    assert torch.equal(texts.embed("a boat"), expected)
    assert torch.equal(texts.embed("  a \n boat "), expected)
    with pytest.raises(AssertionError, match="the encoder was read"):
        texts.embed("a ship")


def test_another_dtype_is_another_entry(checkpoint: Checkpoint, tmp_path: Path) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert source(checkpoint, tmp_path / "cache", dtype).embed("a boat").dtype == dtype
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_another_encoder_is_another_entry(checkpoint: Checkpoint, tmp_path: Path) -> None:
    first = source(checkpoint, tmp_path / "cache").embed("a boat")
    file = checkpoint.path / "models_t5_umt5-xxl-enc-bf16.pth"
    weights = torch.load(file, weights_only=True)
    torch.save({name: 2 * tensor for name, tensor in weights.items()}, file)
    assert not torch.equal(source(checkpoint, tmp_path / "cache").embed("a boat"), first)


def test_a_damaged_entry_is_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    source(checkpoint, tmp_path / "cache").embed("a boat")
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_bytes(b"half")
    with pytest.raises(InvalidInput, match=r"in --text_cache is damaged .* delete that file"):
        source(checkpoint, tmp_path / "cache").embed("a boat")


def test_a_cache_that_is_no_folder_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(InvalidInput, match=r"--text_cache .* cannot be made a folder"):
        source(checkpoint, tmp_path / "cache")


def test_the_pipeline_uses_it(checkpoint: Checkpoint, tmp_path: Path) -> None:
    plain, cached = (
        WanT2V(checkpoint.config, str(checkpoint.path), device="cpu", dtype="float32", text_cache=folder)
        for folder in (None, tmp_path / "cache")
    )
    prompt = recorded(RUN)["prompt"]
    for _ in range(2):
        contexts = cached.encode(prompt)
        assert all(torch.equal(contexts[branch], plain.encode(prompt)[branch]) for branch in Branch)
