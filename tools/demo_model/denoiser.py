"""The demo denoiser: a small WanTransformer3DModel and the values its training starts from."""

from __future__ import annotations

import torch
from diffusers import WanTransformer3DModel
from torch import nn

from .text import TEXT_DIM

PAD_KEY_BIAS = 0.1
PAD_QUERY_BIAS = 1.0


def make_denoiser(*, layers: int = 6, heads: int = 4, head_dim: int = 48, ffn_dim: int = 768) -> WanTransformer3DModel:
    """A transformer with zero output, open residual gates and padding that starts nearly unattended."""
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=heads,
        attention_head_dim=head_dim,
        in_channels=16,
        out_channels=16,
        text_dim=TEXT_DIM,
        freq_dim=256,
        ffn_dim=ffn_dim,
        num_layers=layers,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        eps=1e-6,
        rope_max_seq_len=64,
    )
    with torch.no_grad():
        _initialise(model)
    return model


def _initialise(model: WanTransformer3DModel) -> None:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(model.patch_embedding.weight.flatten(1))
    embedder = model.condition_embedder
    for linear in (embedder.text_embedder.linear_1, embedder.text_embedder.linear_2):
        nn.init.normal_(linear.weight, std=1.4 * linear.in_features**-0.5)
    nn.init.normal_(embedder.time_embedder.linear_1.weight, std=0.05)
    nn.init.normal_(embedder.time_embedder.linear_2.weight, std=0.05)
    nn.init.normal_(embedder.time_proj.weight, std=0.02)
    nn.init.zeros_(model.proj_out.weight)
    model.scale_shift_table.zero_()
    for block in model.blocks:
        block.scale_shift_table.zero_()
        block.scale_shift_table[:, 2] = 0.5
        block.scale_shift_table[:, 5] = 0.5
        # an all-zero text position gets the key u and the mean logit -sqrt(head_dim) / sqrt(2): 500 of them weigh
        # about as much as a few words
        sign = torch.randint(0, 2, block.attn2.to_k.bias.shape) * 2.0 - 1.0
        block.attn2.to_k.bias.copy_(PAD_KEY_BIAS * sign)
        block.attn2.to_q.bias.copy_(-PAD_QUERY_BIAS * sign)
