"""LoRA files: the weights that diffusers and PEFT make of them, every naming, strengths, and what does not fit."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.loading.lora_goldens.make import PARTS, SIZES, STRENGTH
from wan.errors import InvalidInput
from wan.loading.component import Component
from wan.loading.lora_files import LoraFile, read_lora
from wan.loading.lora_merge import LoraChanges
from wan.loading.lora_names import METADATA_KEY
from wan.loading.official_keys import Source
from wan.loading.weights import open_weights
from wan.sampling.plan import Expert

GOLDENS = Path(__file__).parent / "lora_goldens"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def before() -> dict[str, Tensor]:
    return _part("before.")


@pytest.fixture(scope="module")
def after() -> dict[str, Tensor]:
    return _part("after.")


def _part(prefix: str) -> dict[str, Tensor]:
    tensors = load_file(GOLDENS / "lora.safetensors")
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@pytest.fixture
def component(before: dict[str, Tensor], tmp_path: Path) -> Component[WanTransformer3DModel]:
    file = tmp_path / "model.safetensors"
    save_file(before, file)
    return Component(
        place="here",
        make=lambda: WanTransformer3DModel(**SIZES),
        weights=open_weights([file]),
        key_map={name: Source(name) for name in before},
    )


def lora(path: Path, scale: float = 1.0) -> LoraFile:
    return read_lora(path, flag="--lora", scale=scale, experts=(Expert.SINGLE,))


def loaded(component: Component[Any], *loras: LoraFile, fused: bool = True) -> WanTransformer3DModel:
    changes = LoraChanges.of(loras, component, Expert.SINGLE, fused=fused)
    assert changes is not None
    model = component.prepare(dtype=torch.float32, change=changes)(CPU)
    changes.put_beside(model, dtype=torch.float32, device=CPU)
    return model


def saved(path: Path, tensors: Mapping[str, Tensor], **metadata: str) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata=metadata or None)
    return path


def run(model: WanTransformer3DModel) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    latents, text = torch.randn(1, 4, 3, 4, 4, generator=generator), torch.randn(1, 5, 8, generator=generator)
    with torch.no_grad():
        return model(latents, torch.tensor([500]), text, return_dict=False)[0]


@pytest.mark.parametrize("kind", ["peft", "official", "kohya"])
def test_the_weights_are_those_that_diffusers_and_peft_make(
    kind: str, component: Component[Any], before: dict[str, Tensor], after: dict[str, Tensor]
) -> None:
    state = loaded(component, lora(GOLDENS / f"{kind}.safetensors", STRENGTH)).state_dict()
    for name, tensor in before.items():
        torch.testing.assert_close(state[name], after.get(name, tensor), rtol=0, atol=2e-7)
    assert all(not torch.equal(before[name], state[name]) for name in after)


@pytest.mark.parametrize("kind", ["official", "kohya"])
def test_beside_the_weights_the_output_is_the_same(kind: str, component: Component[Any]) -> None:
    file = lora(GOLDENS / f"{kind}.safetensors", STRENGTH)
    fused, beside = loaded(component, file), loaded(component, file, fused=False)
    assert torch.equal(beside.blocks[0].attn1.to_q.weight, _part("before.")["blocks.0.attn1.to_q.weight"])
    torch.testing.assert_close(run(beside), run(fused), rtol=0, atol=1e-5)
    assert not torch.allclose(run(fused), run(component.build(dtype=torch.float32, device=CPU)), atol=1e-3)


def test_several_files_add_up_and_strengths_may_be_negative(component: Component[Any]) -> None:
    path = GOLDENS / "kohya.safetensors"
    once = loaded(component, lora(path, 0.5)).state_dict()
    twice = loaded(component, lora(path, 0.75), lora(path, -0.25)).state_dict()
    for name, tensor in once.items():
        torch.testing.assert_close(twice[name], tensor, rtol=0, atol=1e-6)
    both = loaded(component, lora(path, 0.75), lora(path, -0.25), fused=False)
    torch.testing.assert_close(run(both), run(loaded(component, lora(path, 0.5))), rtol=0, atol=1e-5)


def test_differences_change_weights_biases_norms_and_modulation(component: Component[Any], tmp_path: Path) -> None:
    plain = component.build(dtype=torch.float32, device=CPU).state_dict()
    changed = {
        "diffusion_model.head.head.diff": "proj_out.weight",
        "diffusion_model.blocks.1.ffn.0.diff_b": "blocks.1.ffn.net.0.proj.bias",
        "diffusion_model.blocks.0.norm3.diff": "blocks.0.norm2.weight",
        "diffusion_model.blocks.0.diff_m": "blocks.0.scale_shift_table",
        "diffusion_model.patch_embedding.diff": "patch_embedding.weight",
    }
    changed = {name: ours for name, ours in changed.items() if ours in plain}
    assert len(changed) >= 4
    file = lora(saved(tmp_path / "d.safetensors", {n: torch.ones_like(plain[o]) for n, o in changed.items()}), 0.5)
    state = loaded(component, file).state_dict()
    for name, tensor in plain.items():
        torch.testing.assert_close(state[name], tensor + 0.5 if name in changed.values() else tensor)


def test_alpha_stands_in_the_notes_of_diffusers(component: Component[Any], tmp_path: Path) -> None:
    tensors = load_file(GOLDENS / "official.safetensors")
    pairs = {name: tensor for name, tensor in tensors.items() if not name.endswith(".alpha")}
    notes = json.dumps({"transformer.r": 3, "transformer.lora_alpha": 6})
    noted = lora(saved(tmp_path / "noted.safetensors", pairs, **{METADATA_KEY: notes}), STRENGTH)
    wanted = loaded(component, lora(GOLDENS / "official.safetensors", STRENGTH)).state_dict()
    state = loaded(component, noted).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in wanted.items())


def test_low_precision_is_rounded_once(component: Component[Any]) -> None:
    file = lora(GOLDENS / "official.safetensors", STRENGTH)
    changes = LoraChanges.of([file], component, Expert.SINGLE)
    assert changes is not None
    small = component.prepare(dtype=torch.bfloat16, change=changes)(CPU).state_dict()
    exact = loaded(component, file).state_dict()
    assert all(torch.equal(tensor, exact[name].to(tensor.dtype)) for name, tensor in small.items())


def test_a_file_for_the_other_expert_changes_nothing(component: Component[Any]) -> None:
    file = dataclasses.replace(lora(GOLDENS / "official.safetensors"), experts=(Expert.LOW_NOISE,))
    assert LoraChanges.of([file], component, Expert.HIGH_NOISE) is None


FIRST = next(iter(PARTS))
PAIR = {f"{FIRST}.lora_down.weight": torch.zeros(3, 24), f"{FIRST}.lora_up.weight": torch.zeros(24, 3)}
MISFITS: Mapping[str, tuple[dict[str, Tensor], str]] = {
    "a width": (
        {f"{FIRST}.lora_down.weight": torch.zeros(3, 48), f"{FIRST}.lora_up.weight": torch.zeros(24, 3)},
        "makes a change of 24 x 48, and the weight has 24 x 24",
    ),
    "a rank": (
        {f"{FIRST}.lora_down.weight": torch.zeros(3, 24), f"{FIRST}.lora_up.weight": torch.zeros(24, 4)},
        "are no pair",
    ),
    "another block": (
        {"blocks.9.ffn.0.lora_A.weight": torch.zeros(1, 24), "blocks.9.ffn.0.lora_B.weight": torch.zeros(32, 1)},
        "changes a part that this model does not have",
    ),
    "half a pair": ({f"{FIRST}.lora_A.weight": torch.zeros(3, 24)}, "stands alone"),
    "a key": (PAIR | {"blocks.0.self_attn.q.weight": torch.zeros(24, 24)}, "is no part of a LoRA"),
    "whole numbers": (
        {f"{FIRST}.lora_A.weight": torch.zeros(3, 24, dtype=torch.int32), f"{FIRST}.lora_B.weight": torch.zeros(24, 3)},
        "is I32 and no floating-point number",
    ),
    "an alpha": (PAIR | {f"{FIRST}.alpha": torch.zeros(2)}, "is no single number"),
    "a difference": ({"head.head.diff": torch.zeros(3, 3)}, "has the shape [3, 3]"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_key_that_does_not_fit_is_named(name: str, component: Component[Any], tmp_path: Path) -> None:
    tensors, words = MISFITS[name]
    found = lora(saved(tmp_path / "x.safetensors", tensors)).fit(component.weights.shapes)
    (misfit,) = found.misfits
    assert words in misfit, misfit


@pytest.mark.parametrize(
    ("name", "tensors", "words"),
    [
        ("x.pt", None, "is a pickle"),
        ("x.bin", None, "is a pickle"),
        ("x.gguf", None, "must end in .safetensors"),
        ("x.safetensors", {"blocks.0.ffn.0.lokr_w1": torch.zeros(2, 2)}, "is a LoKr"),
        ("x.safetensors", {"blocks.0.ffn.0.dora_scale": torch.zeros(2, 2)}, "is a DoRA"),
    ],
)
def test_other_files_are_refused(name: str, tensors: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"GGUF") if tensors is None else saved(path, tensors)
    with pytest.raises(InvalidInput, match=words):
        lora(path)


@pytest.mark.parametrize("content", [b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{}", b"\xff" * 64])
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="cannot be read"):
        lora(path)


@pytest.mark.parametrize("note", ["use_dora", "use_rslora", "alpha_pattern"])
def test_notes_that_are_not_known_are_refused(note: str, tmp_path: Path) -> None:
    notes = {METADATA_KEY: json.dumps({f"transformer.{note}": True})}
    with pytest.raises(InvalidInput, match=note):
        lora(saved(tmp_path / "x.safetensors", PAIR, **notes))


def test_the_golden_was_recorded_with_the_strength_that_is_tested() -> None:
    with safe_open(GOLDENS / "lora.safetensors", framework="pt") as file:
        assert file.metadata()["strength"] == str(STRENGTH)
