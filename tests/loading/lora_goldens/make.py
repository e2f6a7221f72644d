"""Makes the recorded LoRA: a tiny denoiser, one LoRA under four kinds of names, and the weights that PEFT makes of it.

    pip install peft==0.21.2
    python tests/loading/lora_goldens/make.py

The network's weights before and after ``load_lora_weights`` and ``fuse_lora`` of diffusers go to ``lora.safetensors``.
"""

from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from diffusers.loaders import WanLoraLoaderMixin
from safetensors.torch import save_file

FOLDER = Path(__file__).parent
SIZES = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 8,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 2,
}
RANK, ALPHA, STRENGTH = 3, 6.0, 0.7
# (official, diffusers) name of every part that the LoRA changes
PARTS = {
    **{
        f"blocks.{block}.{theirs}.{name}": f"blocks.{block}.{ours}.to_{name}" + (".0" if name == "o" else "")
        for block in (0, 1)
        for theirs, ours in (("self_attn", "attn1"), ("cross_attn", "attn2"))
        for name in ("q", "k", "v")
    },
    **{
        f"blocks.{block}.{at}.o": f"blocks.{block}.{to}.to_out.0"
        for block in (0, 1)
        for at, to in (("self_attn", "attn1"), ("cross_attn", "attn2"))
    },
    **{f"blocks.{block}.ffn.0": f"blocks.{block}.ffn.net.0.proj" for block in (0, 1)},
    **{f"blocks.{block}.ffn.2": f"blocks.{block}.ffn.net.2" for block in (0, 1)},
}


def main() -> None:
    torch.manual_seed(0)
    model = WanTransformer3DModel(**SIZES)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    files: dict[str, dict[str, torch.Tensor]] = {"peft": {}, "official": {}, "kohya": {}}
    for official, ours in PARTS.items():
        out, inner = model.get_submodule(ours).weight.shape
        down, up = torch.randn(RANK, inner) * 0.1, torch.randn(out, RANK) * 0.1
        alpha = torch.tensor(ALPHA)
        # the first kind has no alpha of its own: it is in the second matrix
        files["peft"] |= {
            f"transformer.{ours}.lora_A.weight": down,
            f"transformer.{ours}.lora_B.weight": up * (ALPHA / RANK),
        }
        files["official"] |= {
            f"diffusion_model.{official}.lora_down.weight": down,
            f"diffusion_model.{official}.lora_up.weight": up,
            f"diffusion_model.{official}.alpha": alpha,
        }
        flat = "lora_unet_" + official.replace(".", "_")
        files["kohya"] |= {
            f"{flat}.lora_down.weight": down,
            f"{flat}.lora_up.weight": up,
            f"{flat}.alpha": alpha,
        }
    for kind, tensors in files.items():
        path = FOLDER / f"{kind}.safetensors"
        save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)
        fused = WanTransformer3DModel(**SIZES)
        fused.load_state_dict(before)
        converted = WanLoraLoaderMixin.lora_state_dict(str(path))
        converted = converted[0] if isinstance(converted, tuple) else converted
        fused.load_lora_adapter(converted, prefix="transformer", adapter_name=kind)
        fused.fuse_lora(lora_scale=STRENGTH)
        fused.unload_lora()
        after = {name.replace(".base_layer", ""): tensor for name, tensor in fused.state_dict().items()}
        changed = {f"{ours}.weight" for ours in PARTS.values()}
        assert after.keys() == before.keys(), after.keys() ^ before.keys()
        assert {name for name in before if not torch.equal(before[name], after[name])} == changed
        if kind == "official":
            reference = {f"before.{name}": tensor for name, tensor in before.items()}
            reference |= {f"after.{name}": after[name].clone() for name in changed}
            save_file(reference, FOLDER / "lora.safetensors", metadata={"strength": str(STRENGTH)})


if __name__ == "__main__":
    main()
