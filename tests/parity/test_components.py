"""Every component against the official code's recorded output, loaded through the public loader (float32, 1e-4)."""

import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.goldens import CPU, DATA, RUNS, TOLERANCE, input_image, manifest, padded, recorded, tensors, worst
from wan.loading.layouts import Checkpoint
from wan.loading.models import load_expert, load_image_encoder, load_text_encoder, load_tokenizer, load_vae
from wan.models.images import covered, stretched, to_pixels
from wan.models.text import TextEncoder
from wan.models.vae import VideoVAE
from wan.prompt_text import clean_prompt
from wan.sampling.image_size import floor_both, floor_closest
from wan.sampling.plan import Expert

Open = Callable[[str], Checkpoint]

# the expert whose weights made each recorded forward
FORWARDS = {
    "t2v-A14B": ("t2v_A14B_unipc", Expert.HIGH_NOISE),
    "i2v-A14B": ("i2v_A14B_unipc", Expert.LOW_NOISE),
    "ti2v-5B": ("ti2v_5B_t2v_unipc", Expert.SINGLE),
}
CALLS = [
    ("t2v_A14B_unipc", "high", Expert.HIGH_NOISE),
    ("t2v_A14B_unipc", "low", Expert.LOW_NOISE),
    ("i2v_A14B_unipc", "high", Expert.HIGH_NOISE),
    ("i2v_A14B_unipc", "low", Expert.LOW_NOISE),
    ("ti2v_5B_t2v_unipc", "dit", Expert.SINGLE),
    ("ti2v_5B_i2v_unipc", "dit", Expert.SINGLE),
    ("wan21_t2v_unipc", "dit", Expert.SINGLE),
    ("wan21_i2v_unipc", "dit", Expert.SINGLE),
]


@pytest.mark.parametrize("name", FORWARDS)
def test_denoiser_forward(checkpoint: Open, name: str) -> None:
    golden = tensors("dit")
    run, expert = FORWARDS[name]
    model = load_expert(checkpoint(run), expert, dtype=torch.float32, device=CPU)
    inputs = [golden[f"{name}.x"], *([golden[f"{name}.y"]] if f"{name}.y" in golden else [])]
    with torch.no_grad():
        out = model(torch.cat(inputs)[None], golden[f"{name}.t"], padded(golden[f"{name}.context"]), return_dict=False)
    assert worst(out[0][0], golden[f"{name}.out"]) < TOLERANCE


@pytest.mark.parametrize(("run", "prefix", "expert"), CALLS, ids=[f"{run}-{prefix}" for run, prefix, _ in CALLS])
def test_first_call_of_each_expert_in_both_branches(checkpoint: Open, run: str, prefix: str, expert: Expert) -> None:
    golden, opened = tensors(run), checkpoint(run)
    model = load_expert(opened, expert, dtype=torch.float32, device=CPU)
    inputs = torch.cat([golden[f"{prefix}.x"], *([golden["y"]] if "y" in golden else [])])[None]
    contexts = {"out": golden[f"{prefix}.context"], "out_uncond": golden["negative_embeds"]}
    for name, context in contexts.items():
        with torch.no_grad():
            out = model(
                inputs,
                golden[f"{prefix}.t"],
                padded(context, opened.text_len),
                encoder_hidden_states_image=golden.get("clip_fea"),
                return_dict=False,
            )
        assert worst(out[0][0], golden[f"{prefix}.{name}"]) < TOLERANCE, name


@pytest.fixture(params=["vae21", "vae22"])
def vae(request: pytest.FixtureRequest, checkpoint: Open) -> tuple[VideoVAE, dict[str, Tensor]]:
    run = {"vae21": "t2v_A14B_unipc", "vae22": "ti2v_5B_t2v_unipc"}[request.param]
    return load_vae(checkpoint(run), device=CPU), tensors(request.param)


def test_vae(vae: tuple[VideoVAE, dict[str, Tensor]]) -> None:
    model, golden = vae
    assert worst(model.encode(golden["encode_in"]), golden["encode_out"]) < TOLERANCE
    assert worst(model.encode(golden["encode_in"][:, :1]), golden["encode1_out"]) < TOLERANCE
    assert worst(model.decode(golden["decode_in"]), golden["decode_out"]) < TOLERANCE


def test_vae_statistics(vae: tuple[VideoVAE, dict[str, Tensor]]) -> None:
    model, golden = vae
    assert worst(torch.tensor(model.model.config.latents_mean), golden["mean"]) < 1e-6
    assert worst(1 / torch.tensor(model.model.config.latents_std), golden["inv_std"]) < 1e-6


@pytest.fixture(scope="module")
def text_encoder(checkpoint: Open) -> TextEncoder:
    opened = checkpoint("t2v_A14B_unipc")
    return load_text_encoder(opened, load_tokenizer(opened), dtype=torch.float32, device=CPU)


@pytest.mark.parametrize("index", range(7))
def test_prompt_cleaning_tokens_and_embeddings(text_encoder: TextEncoder, index: int) -> None:
    component, golden = manifest()["components"]["t5"], tensors("t5")
    text = component["texts"][index]
    assert clean_prompt(text) == component["cleaned"][index]
    tokens = text_encoder.tokenizer(
        clean_prompt(text), padding="max_length", truncation=True, max_length=component["text_len"], return_tensors="pt"
    )
    assert torch.equal(tokens.input_ids[0], golden["ids"][index])
    assert torch.equal(tokens.attention_mask[0], golden["mask"][index])
    assert worst(text_encoder.encode(text), padded(golden[f"embeds.{index}"])) < TOLERANCE


def test_long_texts_with_padding(text_encoder: TextEncoder) -> None:
    golden = tensors("t5")
    mask = golden["long_mask"]
    with torch.no_grad():
        out = text_encoder.model(golden["long_ids"], attention_mask=mask).last_hidden_state
    assert worst(out[mask.bool()], golden["long_out"][mask.bool()]) < TOLERANCE


@pytest.mark.parametrize("run", [run for run in RUNS if not run.startswith("wan21")])
def test_prompts_of_the_runs(text_encoder: TextEncoder, run: str) -> None:
    golden, asked = tensors(run), recorded(run)
    for name, text in (("prompt", asked["prompt"]), ("negative", asked["negative"])):
        assert worst(text_encoder.encode(text), padded(golden[f"{name}_embeds"])) < TOLERANCE


def test_clip_features(checkpoint: Open) -> None:
    encoder = load_image_encoder(checkpoint("wan21_i2v_unipc"), dtype=torch.float32, device=CPU)
    features = encoder.encode(to_pixels(input_image()))
    assert worst(features, tensors("wan21_i2v_unipc")["clip_fea"]) < TOLERANCE


@pytest.mark.parametrize("run", ["i2v_A14B_unipc", "wan21_i2v_unipc"])
def test_stretched_image(run: str) -> None:
    expected = tensors(run)["image_cond_frame0"]
    frame = stretched(to_pixels(input_image()), height=expected.shape[2], width=expected.shape[3])
    assert worst(frame[:, None], expected) < 1e-5


def test_covered_image() -> None:
    expected = tensors("ti2v_5B_i2v_unipc")["image_cond_frame0"]
    frame = to_pixels(covered(input_image(), height=expected.shape[2], width=expected.shape[3]))
    assert worst(frame[:, None], expected) < 1e-6


def test_output_sizes() -> None:
    sizes = json.loads((DATA / "sizes.json").read_text())
    for case in sizes["i2v_latent_size"]:
        width, height = floor_both(tuple(case["image_wh"]), case["max_area"], (16, 16))
        assert [height, width] == case["video_hw"], case
    for case in sizes["ti2v_best_output_size"]:
        assert list(floor_closest(tuple(case["image_wh"]), case["max_area"], (32, 32))) == case["out_wh"], case
