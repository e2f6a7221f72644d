"""Where in time a denoiser believes its latent frames to be."""

from collections.abc import Iterator
from contextlib import contextmanager

from diffusers import WanTransformer3DModel
from torch import Tensor, nn


class StridedPositions(nn.Module):
    """diffusers' rotary embedding (WanRotaryPosEmbed) for latent frames at the positions 0, stride, 2 stride, ..."""

    def __init__(self, rope: nn.Module, stride: int) -> None:
        super().__init__()
        self._rope = rope
        self._stride = stride

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, ...]:
        """cos and sin (1, tokens, 1, D) for (B, C, F, h, w), of which only shape and device are looked at."""
        batch, channels, frames, height, width = hidden_states.shape
        span = (frames - 1) * self._stride + 1
        every_frame = hidden_states.new_empty(1).expand(batch, channels, span, height, width)
        tables: tuple[Tensor, ...] = self._rope(every_frame)
        return tuple(table.unflatten(1, (span, -1))[:, :: self._stride].flatten(1, 2) for table in tables)


@contextmanager
def spaced_frames(model: WanTransformer3DModel, stride: int) -> Iterator[None]:
    """For the length of the block the model's latent frames stand ``stride`` positions apart."""
    rope = model.rope
    model.rope = StridedPositions(rope, stride)
    try:
        yield
    finally:
        model.rope = rope
