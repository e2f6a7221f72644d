"""Load the models of a diffusers-layout checkpoint, each on its own and only when asked."""

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import AutoTokenizer, UMT5EncoderModel

from wan.loading.layouts import Checkpoint
from wan.models.text import TextEncoder
from wan.models.vae import VideoVAE
from wan.sampling.plan import Expert

# diffusers' order: ``transformer`` is the high-noise expert, or the only one
_FOLDERS = {Expert.HIGH_NOISE: "transformer", Expert.LOW_NOISE: "transformer_2", Expert.SINGLE: "transformer"}


def load_expert(checkpoint: Checkpoint, expert: Expert, *, dtype: torch.dtype) -> WanTransformer3DModel:
    """One denoiser in host memory; layers that diffusers keeps in float32 stay so."""
    folder = checkpoint.path / _FOLDERS[expert]
    return WanTransformer3DModel.from_pretrained(folder, torch_dtype=dtype).eval().requires_grad_(False)


def load_text_encoder(checkpoint: Checkpoint, *, dtype: torch.dtype) -> TextEncoder:
    """umT5 with eager attention: in bfloat16 it is the one that equals the official encoder bit for bit."""
    model = UMT5EncoderModel.from_pretrained(checkpoint.path / "text_encoder", dtype=dtype, attn_implementation="eager")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint.path / "tokenizer")
    return TextEncoder(
        model=model.eval().requires_grad_(False), tokenizer=tokenizer, text_len=checkpoint.config.text_len
    )


def load_vae(checkpoint: Checkpoint) -> VideoVAE:
    """The VAE in float32, as the official code runs it."""
    model = AutoencoderKLWan.from_pretrained(checkpoint.path / "vae", torch_dtype=torch.float32)
    return VideoVAE(model=model.eval().requires_grad_(False))
