"""VAE tiling: switched on by its flag, and near the untiled result on frames larger than a tile."""

from pathlib import Path

import torch

from tests.goldens import CPU, RUNS, materialise
from wan.loading.layouts import open_checkpoint
from wan.loading.models import load_vae


def test_tiles_give_nearly_the_same(tmp_path: Path) -> None:
    run = "ti2v_5B_t2v_unipc"
    checkpoint = open_checkpoint(RUNS[run].config, materialise(run, tmp_path))
    latents = torch.randn(48, 2, 24, 20, generator=torch.Generator().manual_seed(0))
    whole, tiled = (load_vae(checkpoint, device=CPU, tiling=tiling) for tiling in (False, True))
    assert not whole.model.use_tiling and tiled.model.use_tiling
    expected, video = whole.decode(latents), tiled.decode(latents)
    assert video.shape == expected.shape == (3, 5, 384, 320)
    assert (video - expected).abs().mean() < 0.2 * expected.std()
