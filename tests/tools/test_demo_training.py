"""The demo trainer's fast paths equal the stock diffusers modules, and a killed stage continues where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import train_demo_model
from demo_model import denoiser_fast, text, vae_fast
from demo_model.denoiser import make_denoiser
from demo_model.store import Budget, Ema, Log, Schedule, load_state
from demo_model.train_denoiser import RECIPES, draw_latent_frames, draw_sigmas
from demo_model.train_vae import VAE_RECIPES, Z_DIM, VaeSettings, load_vae, make_vae, train_vae
from tests.tools.conftest import RunTool
from wan.demo_world.clips import as_indices, render, sample_clips
from wan.demo_world.words import training_combinations


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)


@torch.no_grad()
@pytest.mark.parametrize("pixel_frames", [1, 5, 49])
def test_fast_vae_equals_diffusers(pixel_frames: int) -> None:
    vae = make_vae(decoder_base_dim=24).eval()
    rows = as_indices(training_combinations()[:2])
    clips = sample_clips(rows, generator=torch.Generator().manual_seed(1), pixel_frames=pixel_frames)
    video = render(clips) * 2 - 1
    expected = vae.encode(video).latent_dist.parameters
    torch.testing.assert_close(vae_fast.encode(vae, video), expected, atol=1e-5, rtol=1e-4)
    latents = torch.randn(1, Z_DIM, 1 + (pixel_frames - 1) // 4, 8, 8)
    expected = vae.decode(latents).sample
    torch.testing.assert_close(vae_fast.decode(vae, latents).clamp(-1, 1), expected, atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_fast_denoiser_on_compact_text_equals_stock_on_512_positions() -> None:
    tokenizer = text.make_tokenizer()
    encoder = text.make_text_encoder(len(tokenizer)).eval()
    model = make_denoiser(layers=2).eval()
    torch.nn.init.normal_(model.proj_out.weight, std=0.05)
    captions = [training_combinations()[7].caption(), "", "a red <unk>"]
    latents, timestep = torch.randn(3, 16, 4, 8, 8), torch.tensor([999, 640, 12])
    tokens = tokenizer(captions, padding="max_length", max_length=text.TEXT_LENGTH, return_tensors="pt")
    hidden = encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state
    padded = hidden * tokens.attention_mask[..., None]  # the official code's zeros after the true length
    expected = model(latents, timestep, padded, return_dict=False)[0]
    compact = text.encode_compact(encoder, tokenizer, captions)
    torch.testing.assert_close(denoiser_fast.predict(model, latents, timestep, compact), expected, atol=1e-5, rtol=1e-4)


def test_tokenizer_lowercases_splits_punctuation_and_marks_unknown_words() -> None:
    tokenizer = text.make_tokenizer()
    words = tokenizer.convert_ids_to_tokens(tokenizer("A red Circle, moving RIGHT on a zebra.").input_ids)
    assert words == ["a", "red", "circle", "moving", "right", "on", "a", "<unk>", "</s>"]
    assert tokenizer("").input_ids == [tokenizer.eos_token_id]


def test_sigmas_stay_in_their_range_and_favour_noise() -> None:
    for key_map in RECIPES.values():
        sigmas = draw_sigmas(4096, key_map, generator=torch.Generator().manual_seed(0))
        assert key_map.sigma_low <= float(sigmas.min()) and float(sigmas.max()) <= key_map.sigma_high
    base = draw_sigmas(4096, RECIPES["base"], generator=torch.Generator().manual_seed(0))
    assert 0.3 < float((base > 0.95).float().mean()) < 0.4


def test_most_batches_are_whole_clips_and_the_rest_native_rate_prefixes() -> None:
    lengths = [draw_latent_frames(torch.Generator().manual_seed(seed)) for seed in range(500)]
    assert {2, 7, 12, 13} <= set(lengths) and min(lengths) == 2 and max(lengths) == 13
    assert 0.72 < lengths.count(13) / len(lengths) < 0.88


def test_schedule_warms_up_and_ends_at_its_floor() -> None:
    schedule = Schedule(warmup_steps=10, flat_until=0.5, floor=0.25)
    assert schedule.factor(step=0, fraction=0.0) == pytest.approx(0.1)
    assert schedule.factor(step=99, fraction=0.5) == pytest.approx(1.0)
    assert schedule.factor(step=99, fraction=1.0) == pytest.approx(0.25)


def test_average_follows_the_parameters() -> None:
    module = torch.nn.Linear(2, 2)
    ema = Ema(module, decay=0.9)
    before = ema.values["weight"].clone()
    with torch.no_grad():
        module.weight += 1
    ema.update(module, step=1000)
    torch.testing.assert_close(ema.values["weight"], before + 0.1)


class _KilledAtStep2(Log):
    """Stops the run as Ctrl-C would, after step 2 and before its state is saved."""

    def write(self, stage: str, **values: float | int | str) -> None:
        if values["step"] == 2:
            raise KeyboardInterrupt


TINY_VAE_SETTINGS = VaeSettings(
    budget=Budget(steps=4),
    device=torch.device("cpu"),
    decoder_base_dim=16,
    batch=1,
    pixel_frames=5,
    compiled=False,
    save_every_seconds=0.0,
    log_every=1,
)


def test_a_killed_run_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    key_map, settings = VAE_RECIPES["vae"], TINY_VAE_SETTINGS
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train_vae(key_map, settings, work_dir=whole, log=Log(whole / "log.jsonl"))
    with pytest.raises(KeyboardInterrupt):
        train_vae(key_map, settings, work_dir=killed, log=_KilledAtStep2(killed / "log.jsonl"))
    state = load_state(killed / "vae.pt")
    assert state is not None and state["step"] == 1
    train_vae(key_map, settings, work_dir=killed, log=Log(killed / "log.jsonl"))
    expected, state = load_state(whole / "vae.pt"), load_state(killed / "vae.pt")
    assert expected is not None and state is not None and expected["step"] == state["step"] == 4
    for name, value in expected["model"].items():
        torch.testing.assert_close(state["model"][name], value, atol=0, rtol=0)


def test_the_decoder_stage_trains_the_decoder_and_leaves_the_encoder_as_it_was(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    with pytest.raises(FileNotFoundError, match="run that stage first"):
        train_vae(VAE_RECIPES["decoder"], TINY_VAE_SETTINGS, work_dir=tmp_path, log=log)
    train_vae(VAE_RECIPES["vae"], TINY_VAE_SETTINGS, work_dir=tmp_path, log=log)
    before = load_vae(tmp_path).state_dict()
    train_vae(VAE_RECIPES["decoder"], TINY_VAE_SETTINGS, work_dir=tmp_path, log=log)
    after = load_vae(tmp_path).state_dict()
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"decoder", "post_quant_conv"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--stages", "vea"], "'vea' is no stage"),
        (["--vae_minutes", "-1"], "must be greater than 0"),
        (["--vae_minutes", "1", "--vae_steps", "2"], "not both"),
        (["--stages", "latents"], "run the stage 'vae' first"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(
    tool: RunTool, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    code = tool(train_demo_model, ["--work_dir", str(tmp_path), *arguments])
    said = capsys.readouterr().err
    assert code == 2
    assert expected in said and len(said.splitlines()) == 1
    assert said.startswith("train_demo_model.py: ")
