"""Decoding a video one latent frame after another, so that memory does not grow with the length of the video.

diffusers' AutoencoderKLWan decodes frame by frame, too, with a memory of features for every causal convolution, and
collects the whole video. Here every frame is handed out as it comes; the numbers are the same, in tiles as well. The
model's own parts do the work: ``decoder`` with its feature memory, ``post_quant_conv``, ``blend_v`` and ``blend_h``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from torch import Tensor


def decoded_frames(model: AutoencoderKLWan, latents: Tensor) -> Iterator[Tensor]:
    """Latents (B, C, F, h, w), not normalised, to F pieces of a video in [-1, 1]: (B, 3, 1, H, W) of the first latent
    frame, (B, 3, 4, H, W) of every other."""
    tiles = _Tiles.of(model, latents) if _is_tiled(model, latents) else _Whole(model, latents)
    for index in range(latents.shape[2]):
        piece = tiles.frame(index)
        if model.config.patch_size is not None:
            piece = unpatchify(piece, patch_size=model.config.patch_size)
        yield torch.clamp(piece, min=-1.0, max=1.0)


def _is_tiled(model: AutoencoderKLWan, latents: Tensor) -> bool:
    height, width = latents.shape[-2:]
    ratio = model.spatial_compression_ratio
    is_larger = height > model.tile_sample_min_height // ratio or width > model.tile_sample_min_width // ratio
    return model.use_tiling and is_larger


class _Memory:
    """The features that the decoder's convolutions remember, for one part of the picture."""

    def __init__(self, model: AutoencoderKLWan) -> None:
        model.clear_cache()
        self._model = model
        self._features = model._feat_map

    def decode(self, latents: Tensor, index: int) -> Tensor:
        """The next frame (B, C, 1, h, w), which is the ``index``-th of its video."""
        return self._model.decoder(latents, feat_cache=self._features, feat_idx=[0], first_chunk=index == 0)


class _Whole:
    def __init__(self, model: AutoencoderKLWan, latents: Tensor) -> None:
        self._latents = model.post_quant_conv(latents)
        self._memory = _Memory(model)

    def frame(self, index: int) -> Tensor:
        return self._memory.decode(self._latents[:, :, index : index + 1], index)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Grid:
    """Overlapping tiles along one axis: where each starts in the latents, its size there, and in the decoded picture
    the step from tile to tile and the overlap."""

    starts: range
    size: int
    step: int
    overlap: int

    @classmethod
    def of(cls, model: AutoencoderKLWan, length: int, *, minimum: int, stride: int) -> "_Grid":
        ratio, patch = model.spatial_compression_ratio, model.config.patch_size or 1
        return cls(
            starts=range(0, length, stride // ratio),
            size=minimum // ratio,
            step=stride // patch,
            overlap=minimum // patch - stride // patch,
        )


class _Tiles:
    """The picture in tiles, each with a memory of its own; neighbours are blended where they overlap."""

    def __init__(self, model: AutoencoderKLWan, latents: Tensor, rows: _Grid, columns: _Grid) -> None:
        self._model = model
        self._latents = latents
        self._rows = rows
        self._columns = columns
        self._memories = [[_Memory(model) for _ in columns.starts] for _ in rows.starts]

    @classmethod
    def of(cls, model: AutoencoderKLWan, latents: Tensor) -> "_Tiles":
        height, width = latents.shape[-2:]
        rows = _Grid.of(model, height, minimum=model.tile_sample_min_height, stride=model.tile_sample_stride_height)
        columns = _Grid.of(model, width, minimum=model.tile_sample_min_width, stride=model.tile_sample_stride_width)
        return cls(model, latents, rows, columns)

    def frame(self, index: int) -> Tensor:
        above: list[Tensor] = []
        bands = []
        for top, memories in zip(self._rows.starts, self._memories, strict=True):
            tiles = [
                self._decoded(memory, index, top, left)
                for left, memory in zip(self._columns.starts, memories, strict=True)
            ]
            for place, tile in enumerate(tiles):  # blending writes into the tile
                if above:
                    self._model.blend_v(above[place], tile, self._rows.overlap)
                if place:
                    self._model.blend_h(tiles[place - 1], tile, self._columns.overlap)
            bands.append(torch.cat([tile[..., : self._rows.step, : self._columns.step] for tile in tiles], dim=-1))
            above = tiles
        height, width = (length * self._scale for length in self._latents.shape[-2:])
        return torch.cat(bands, dim=-2)[..., :height, :width]

    @property
    def _scale(self) -> int:
        return self._model.spatial_compression_ratio // (self._model.config.patch_size or 1)

    def _decoded(self, memory: _Memory, index: int, top: int, left: int) -> Tensor:
        tile = self._latents[:, :, index : index + 1, top : top + self._rows.size, left : left + self._columns.size]
        return memory.decode(self._model.post_quant_conv(tile), index)
