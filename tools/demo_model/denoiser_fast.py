"""WanTransformer3DModel as a short list of bfloat16-friendly operations over the same parameters, for training.

Equal to the stock forward on text padded to 512 (a test compares them in float32), with three rearrangements: text
comes compact (`text.encode_compact`), q, k and v are one product, and queries and keys are kept in half-split order,
where the rotary rotation acts on contiguous halves (both are permuted alike, so their products are the same).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from diffusers import WanTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanAttention, WanTransformerBlock

from .text import compact_key_bias


def predict(
    model: WanTransformer3DModel,
    latents: torch.Tensor,
    timestep: torch.Tensor,
    text: torch.Tensor,
    *,
    block: Callable[..., torch.Tensor] | None = None,
) -> torch.Tensor:
    """Velocity of (B, 16, F, h, w) latents at (B,) timesteps for (B, COMPACT_LENGTH, D) text.

    `block` is `run_block` or its compiled form.
    """
    block = run_block if block is None else block
    batch, _, frames, height, width = latents.shape
    tokens = _linear_patches(model, latents)
    temb, modulation, text, _ = model.condition_embedder(timestep, text)
    modulation = modulation.unflatten(1, (6, -1))
    rotation = _rotation(model, latents, dtype=tokens.dtype)
    order = _half_split_order(model.config.num_attention_heads, model.config.attention_head_dim).to(latents.device)
    for module in model.blocks:
        tokens = block(module, tokens, text, modulation, rotation, order)
    shift, scale = (model.scale_shift_table + temb[:, None]).chunk(2, dim=1)
    tokens = _modulated(tokens, shift, scale)
    patches = model.proj_out(tokens).reshape(batch, frames, height // 2, width // 2, 2, 2, -1)
    return patches.permute(0, 6, 1, 2, 4, 3, 5).reshape(batch, -1, frames, height, width)


def run_block(
    block: WanTransformerBlock,
    x: torch.Tensor,
    text: torch.Tensor,
    modulation: torch.Tensor,
    rotation: tuple[torch.Tensor, torch.Tensor],
    order: torch.Tensor,
) -> torch.Tensor:
    """One transformer block on tokens (B, N, D)."""
    parts = (block.scale_shift_table + modulation.float()).to(x.dtype).chunk(6, dim=1)
    shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = parts
    attended = _self_attention(block.attn1, _modulated(x, shift, scale), rotation, order)
    x = torch.addcmul(x, attended, gate)
    normed = F.layer_norm(x, x.shape[-1:], block.norm2.weight.to(x.dtype), block.norm2.bias.to(x.dtype), 1e-6)
    x = x + _cross_attention(block.attn2, normed, text)
    hidden = F.gelu(block.ffn.net[0].proj(_modulated(x, ffn_shift, ffn_scale)), approximate="tanh")
    return torch.addcmul(x, block.ffn.net[2](hidden), ffn_gate)


def _linear_patches(model: WanTransformer3DModel, latents: torch.Tensor) -> torch.Tensor:
    """The (1, 2, 2) patch convolution as a product: (B, N, D)."""
    batch, channels, frames, height, width = latents.shape
    patches = latents.reshape(batch, channels, frames, height // 2, 2, width // 2, 2).permute(0, 2, 3, 5, 1, 4, 6)
    weight = model.patch_embedding.weight.flatten(1)
    return F.linear(patches.reshape(batch, -1, weight.shape[1]), weight, model.patch_embedding.bias)


def _modulated(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return torch.addcmul(shift.to(x.dtype), F.layer_norm(x, x.shape[-1:], eps=1e-6), (1 + scale).to(x.dtype))


def _self_attention(
    attn: WanAttention, x: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor], order: torch.Tensor
) -> torch.Tensor:
    weight = torch.cat([attn.to_q.weight[order], attn.to_k.weight[order], attn.to_v.weight])
    bias = torch.cat([attn.to_q.bias[order], attn.to_k.bias[order], attn.to_v.bias])
    query, key, value = F.linear(x, weight, bias).chunk(3, dim=-1)
    query = _rotate(_rms(query, attn.norm_q.weight[order]).unflatten(2, (attn.heads, -1)), rotation)
    key = _rotate(_rms(key, attn.norm_k.weight[order]).unflatten(2, (attn.heads, -1)), rotation)
    value = value.unflatten(2, (attn.heads, -1))
    out = F.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    return attn.to_out[0](out.transpose(1, 2).flatten(2))


def _cross_attention(attn: WanAttention, x: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    query = _rms(attn.to_q(x), attn.norm_q.weight)
    key = _rms(attn.to_k(text), attn.norm_k.weight)
    value = attn.to_v(text)
    query, key, value = (part.unflatten(2, (attn.heads, -1)).transpose(1, 2) for part in (query, key, value))
    logits = query @ (key * query.shape[-1] ** -0.5).transpose(-1, -2)
    weights = (logits + compact_key_bias().to(logits)).softmax(dim=-1, dtype=logits.dtype)
    return attn.to_out[0]((weights @ value).transpose(1, 2).flatten(2))


def _rms(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x, x.shape[-1:], weight.to(x.dtype), 1e-6)


def _half_split_order(heads: int, head_dim: int) -> torch.Tensor:
    """Channel order with, in every head, the even channels before the odd ones."""
    within = torch.cat([torch.arange(0, head_dim, 2), torch.arange(1, head_dim, 2)])
    return (torch.arange(heads)[:, None] * head_dim + within).flatten()


def _rotation(
    model: WanTransformer3DModel, latents: torch.Tensor, *, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and signed sines (1, N, 1, d) in half-split order."""
    cos, sin = (part[..., 0::2].to(dtype) for part in model.rope(latents))
    return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)


def _rotate(x: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    cos, sin = rotation
    swapped = torch.cat(x.chunk(2, dim=-1)[::-1], dim=-1)
    return torch.addcmul(x * cos, swapped, sin)
