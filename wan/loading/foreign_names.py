"""How the tensors of other formats are named: one line for each kind, the most telling kinds first."""

import re
from collections.abc import Mapping

_Pattern = re.Pattern[str]


def _names(*patterns: str) -> tuple[_Pattern, ...]:
    return tuple(re.compile(pattern) for pattern in patterns)


FOREIGN_NAMES: Mapping[str, tuple[str, tuple[_Pattern, ...], tuple[str, ...]]] = {
    "nunchaku": (
        "a Nunchaku (SVDQuant) file of 4-bit weights",
        _names(r"\.wscales$", r"\.smooth_factor(_orig)?$", r"\.smooth_orig$", r"\.proj_(down|up)$"),
        ("nunchaku", "svdquant", "nunchakuwantransformer3dmodel"),
    ),
    "bitsandbytes": (
        "a file of weights quantised with bitsandbytes",
        _names(r"\.absmax$", r"\.quant_map$", r"\.quant_state\.", r"\.SCB$", r"\.weight_format$"),
        ("bitsandbytes",),
    ),
    "quanto": (
        "a file of weights quantised with quanto",
        _names(r"\.weight\._(data|scale|shift)$", r"\.weight_qtype$"),
        ("quanto",),
    ),
    "torchao": (
        "a file of weights quantised with torchao",
        _names(r"[._]weight[._:]+_?(qdata|int_data|tensor_impl|layout_tensor)\b", r"_weight_qdata$", r"\.qdata$"),
        ("torchao", "affinequantizedtensor", "float8tensor", "int4tensor"),
    ),
    "gptq": (
        "a file of weights quantised with GPTQ or AWQ",
        _names(r"\.qweight$", r"\.qzeros$", r"\.g_idx$", r"\.weight_packed$"),
        ("gptq", "awq"),
    ),
    "fp8-scaled": (
        "an fp8-scaled file (8-bit floats with a scale beside each weight)",
        _names(
            r"(^|\.)scaled_fp8$", r"\.scale_(weight|input)$", r"\.(weight|input)_scale(_inv|_2)?$", r"\.comfy_quant$",
        ),
        ("_quantization_metadata", "fp8_scaled", "comfy_quant"),
    ),
    "lora": (
        "a LoRA (or LoKr, LoHa, difference) file",
        _names(
            r"\.lora_(A|B|down|up|mid)\b", r"^lora_", r"\.lora[AB]?\.", r"\.lok(r|on)_", r"\.lokr_w", r"\.hada_w",
            r"\.dora_scale$", r"\.diff(_b|_m)?$", r"\.alpha$", r"\.oft_(blocks|diag)$", r"\.lora_magnitude_vector",
        ),
        ("ss_network_module", "lora_adapter_metadata"),
    ),
    "training": (
        "a snapshot of a training (optimizer state, or the weights inside of a wrapper)",
        _names(r"^(optimizer|optim|ema|_forward_module|module|model_ema)\.", r"\.exp_avg(_sq)?$", r"^state_dict\."),
        (),
    ),
    "comfyui": (
        "a single file with ComfyUI's names (model.diffusion_model. and the like before each)",
        _names(
            r"^(model\.)?diffusion_model\.", r"^first_stage_model\.", r"^cond_stage_model\.", r"^text_encoders\.",
            r"^spiece_model$", r"^model\.blocks\.\d", r"^net\.blocks\.\d",
        ),
        (),
    ),
    "variant": (
        "the model of another Wan variant (VACE, control, camera, animate, speech)",
        _names(
            r"^vace_(blocks|patch)", r"^control_adapter\.", r"^ref_conv\.", r"^(face|pose)_\w+\.", r"^motion_encoder\.",
            r"^audio_injector\.", r"^casual_audio_encoder\.", r"^trainable_cond_mask", r"^audio_proj\.",
            r"^condition_embedder\.(face|audio|pose)",
        ),
        (),
    ),
    "other-model": (
        "a file of another model family (Flux, HunyuanVideo, SD, LTX and others)",
        _names(
            r"^double_(blocks|stream)", r"^single_(blocks|transformer_blocks)", r"^joint_blocks\.", r"^input_blocks\.",
            r"^transformer_blocks\.", r"^down_blocks\.", r"^model\.layers\.\d+\.self_attn\.", r"^lm_head\.",
            r"^double_transformer_blocks\.", r"^context_embedder\.", r"^caption_projection\.", r"^x_embedder\.",
        ),
        (),
    ),
}  # fmt: skip
"""Kind to (what it is, patterns of a tensor's name, keys or whole values of the author's notes)."""
