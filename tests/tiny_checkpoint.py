"""A complete random checkpoint in the diffusers layout, a megabyte in size: what tools are tested on."""

from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

WORDS = ("a", "red", "green", "blue", "circle", "square", "triangle", "moving", "right", "left", "on", "background")
TEXT_WIDTH = 32


def make_tiny_checkpoint(folder: Path) -> Path:
    """Write a two-expert checkpoint for task t2v-demo: strides 4, 8, 8, sixteen latent channels; returns the folder."""
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    pipeline = WanPipeline(
        tokenizer=tokenizer,
        text_encoder=_text_encoder(vocab_size=len(tokenizer)),
        vae=_vae(),
        scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=12.0),
        transformer=_denoiser(),
        transformer_2=_denoiser(),
        boundary_ratio=0.875,
    )
    pipeline.save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def _text_encoder(*, vocab_size: int) -> UMT5EncoderModel:
    config = UMT5Config(vocab_size=vocab_size, d_model=TEXT_WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=4)
    return UMT5EncoderModel(config)


def _denoiser() -> WanTransformer3DModel:
    return WanTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=24,
        in_channels=16,
        out_channels=16,
        text_dim=TEXT_WIDTH,
        freq_dim=64,
        ffn_dim=64,
        num_layers=1,
    )


def _vae() -> AutoencoderKLWan:
    return AutoencoderKLWan(
        base_dim=8,
        z_dim=16,
        dim_mult=[1, 2, 4],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=8,
        scale_factor_temporal=4,
    )
