"""AutoencoderKLWan as batched 2-D convolutions over the same parameters, for models whose 3x3x3 kernels use one tap.

With only the last temporal tap non-zero, every causal 3x3x3 convolution acts on frames one by one. Time is mixed by the
resampling `time_conv`s alone, whose chunk-wise cache has a closed form: going down, frame 0 passes unmixed and output k
sees inputs 2k-2, 2k-1, 2k; going up, frame 0 passes unmixed and the rest is a causal convolution padded with two zero
frames (frame 0 is not among its inputs), each output giving two frames.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanAttentionBlock,
    WanMidBlock,
    WanResample,
    WanResidualBlock,
    WanRMS_norm,
    patchify,
    unpatchify,
)
from torch import nn

TAP = -1


def keep_last_tap_only(vae: AutoencoderKLWan) -> None:
    """Zeroes all but the last temporal tap of the 3x3x3 convolutions, keeping the scale of their output."""
    for module in vae.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size == (3, 3, 3):
            with torch.no_grad():
                module.weight[:, :, :TAP] = 0
                module.weight[:, :, TAP] *= 3**0.5


def encode(vae: AutoencoderKLWan, video: torch.Tensor) -> torch.Tensor:
    """(B, 3, 1+4n, H, W) in [-1, 1] -> the posterior's mean and log-variance (B, 2z, 1+n, H/8, W/8)."""
    x, batch = _fold(patchify(video, vae.config.patch_size))
    encoder = vae.encoder
    x = _conv(encoder.conv_in, x)
    for layer in encoder.down_blocks:
        x = _resample(layer, x, batch) if isinstance(layer, WanResample) else _residual(layer, x)
    x = _middle(encoder.mid_block, x)
    x = _conv(encoder.conv_out, F.silu(_norm(encoder.norm_out, x)))
    return _unfold(_conv(vae.quant_conv, x), batch)


def decode(vae: AutoencoderKLWan, latents: torch.Tensor) -> torch.Tensor:
    """(B, z, 1+n, h, w) -> video (B, 3, 1+4n, 8h, 8w), not clamped (diffusers clamps to [-1, 1])."""
    x, batch = _fold(latents)
    decoder = vae.decoder
    x = _conv(decoder.conv_in, _conv(vae.post_quant_conv, x))
    x = _middle(decoder.mid_block, x)
    for block in decoder.up_blocks:
        for resnet in block.resnets:
            x = _residual(resnet, x)
        if block.upsamplers is not None:
            x = _resample(block.upsamplers[0], x, batch)
    x = _conv(decoder.conv_out, F.silu(_norm(decoder.norm_out, x)))
    return unpatchify(_unfold(x, batch), vae.config.patch_size)


def _fold(x: torch.Tensor) -> tuple[torch.Tensor, int]:
    """(B, C, F, h, w) -> (B*F, C, h, w) channels-last, and B."""
    batch, channels, frames, height, width = x.shape
    x = x.transpose(1, 2).reshape(batch * frames, channels, height, width)
    return x.contiguous(memory_format=torch.channels_last), batch


def _unfold(x: torch.Tensor, batch: int) -> torch.Tensor:
    """(B*F, C, h, w) -> (B, C, F, h, w)."""
    return x.reshape(batch, -1, *x.shape[1:]).transpose(1, 2)


def _conv(module: nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
    """A causal convolution with one temporal tap, frame by frame."""
    return F.conv2d(x, module.weight[:, :, TAP], module.bias, padding=module.kernel_size[-1] // 2)


def _norm(module: WanRMS_norm, x: torch.Tensor) -> torch.Tensor:
    """x / |x| * sqrt(C) * gamma over channels, without a strided norm."""
    scale = torch.rsqrt(x.float().square().mean(dim=1, keepdim=True) + 1e-12)
    return x * scale.to(x.dtype) * module.gamma.reshape(1, -1, 1, 1).to(x.dtype)


def _residual(module: WanResidualBlock, x: torch.Tensor) -> torch.Tensor:
    h = _conv(module.conv1, F.silu(_norm(module.norm1, x)))
    h = _conv(module.conv2, F.silu(_norm(module.norm2, h)))
    shortcut = x if isinstance(module.conv_shortcut, nn.Identity) else _conv(module.conv_shortcut, x)
    return shortcut + h


def _attention(module: WanAttentionBlock, x: torch.Tensor) -> torch.Tensor:
    count, channels, height, width = x.shape
    qkv = module.to_qkv(_norm(module.norm, x)).flatten(2).transpose(1, 2)
    out = F.scaled_dot_product_attention(*(part.contiguous() for part in qkv.chunk(3, dim=-1)))
    out = out.transpose(1, 2).reshape(count, channels, height, width)
    return x + module.proj(out.contiguous(memory_format=torch.channels_last))


def _middle(module: WanMidBlock, x: torch.Tensor) -> torch.Tensor:
    x = _residual(module.resnets[0], x)
    return _residual(module.resnets[1], _attention(module.attentions[0], x))


def _resample(module: WanResample, x: torch.Tensor, batch: int) -> torch.Tensor:
    if module.mode == "upsample3d":
        x = _double_time(module, x, batch)
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return module.resample[1](x)
    x = module.resample(x)
    return _halve_time(module, x, batch) if module.mode == "downsample3d" else x


def _halve_time(module: WanResample, x: torch.Tensor, batch: int) -> torch.Tensor:
    """(B*(1+2n), C, h, w) -> (B*(1+n), C, h, w)."""
    x = x.reshape(batch, -1, *x.shape[1:])
    if x.shape[1] == 1:
        return x.flatten(0, 1)
    window = torch.cat([x[:, 0:-2:2], x[:, 1:-1:2], x[:, 2::2]], dim=2)
    mixed = _pointwise(module.time_conv, window)
    return torch.cat([x[:, :1], mixed.reshape(batch, -1, *mixed.shape[1:])], dim=1).flatten(0, 1)


def _double_time(module: WanResample, x: torch.Tensor, batch: int) -> torch.Tensor:
    """(B*(1+n), C, h, w) -> (B*(1+2n), C, h, w)."""
    x = x.reshape(batch, -1, *x.shape[1:])
    first, rest = x[:, :1], x[:, 1:]
    if rest.shape[1] == 0:
        return first.flatten(0, 1)
    padded = torch.cat([torch.zeros_like(rest[:, :1]).expand(-1, 2, -1, -1, -1), rest], dim=1)
    window = torch.cat([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], dim=2)
    mixed = _pointwise(module.time_conv, window).reshape(batch, -1, 2, *x.shape[2:])
    return torch.cat([first, mixed.flatten(1, 2)], dim=1).flatten(0, 1)


def _pointwise(module: nn.Conv3d, window: torch.Tensor) -> torch.Tensor:
    """A (3, 1, 1) convolution on frames already gathered along channels: (B, n, 3C, h, w) -> (B*n, C', h, w)."""
    weight = module.weight[..., 0, 0].transpose(1, 2).flatten(1)
    flat = window.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return F.conv2d(flat, weight[:, :, None, None], module.bias)
