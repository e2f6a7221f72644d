"""LoRA files through the commands: recorded, resumed, read back from a video, in a batch, and refused in time."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.tiny_checkpoint import make_tiny_checkpoint
from wan.batch.planned import session_of
from wan.cli.main import run
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.job import Job, prepare
from wan.recorded_request import recorded_request
from wan.request import Request, parse_request
from wan.resuming import earlier_run
from wan.runs import load_record
from wan.runs.latents import load_latents
from wan.sampling.plan import Expert
from wan.shortcuts import Shortcuts
from wan.text2video import WanT2V
from wan.weight_options import DEMO_LORA, Lora, WeightOptions, bundled, lora_beside, lora_of

FEW = ["--sample_steps", "4", "--sample_guide_scale", "1", "--sample_solver", "euler"]
SMALL = ["--task", "t2v-demo", *FEW, "--frame_num", "5", "--size", "32*32", "--base_seed", "1", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")


def write(path: Path, *, seed: int = 0, strength: float = 0.3) -> Path:
    """A LoRA for the tiny checkpoint, of either expert."""
    generator = torch.Generator().manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs: dict[str, Tensor] = {}
    for name, wide, narrow in (("attn1.to_q", 48, 48), ("ffn.net.2", 48, 64)):
        pairs[f"transformer.blocks.0.{name}.lora_A.weight"] = torch.randn(2, narrow, generator=generator)
        pairs[f"transformer.blocks.0.{name}.lora_B.weight"] = strength * torch.randn(wide, 2, generator=generator)
    save_file(pairs, path)
    return path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as published pairs are."""
    place = tmp_path_factory.mktemp("pair")
    write(place / "high_noise_model.safetensors", seed=1)
    write(place / "low_noise_model.safetensors", seed=2)
    return place


def generated(folder: Path, place: Path, *flags: str) -> Path:
    assert run("generate", [*SMALL, "--ckpt_dir", str(folder), "--output_dir", str(place), *flags]) == 0
    (made,) = place.glob("t2v-demo_*")
    return made


def latents(made: Path) -> Tensor:
    return load_latents(made / "latents.safetensors")


def job(folder: Path, **options: object) -> Job:
    weights = WeightOptions(**options)  # type: ignore[arg-type]
    return prepare(Request(task="t2v-demo", ckpt_dir=folder, prompt="a red circle", weights=weights))


def test_a_pair_is_the_same_as_its_two_files_and_is_recorded(folder: Path, pair: Path, tmp_path: Path) -> None:
    together = generated(folder, tmp_path / "a", "--lora", f"{pair}:0.5")
    apart = generated(
        folder,
        tmp_path / "b",
        *("--lora_high", f"{pair / 'high_noise_model.safetensors'}:0.5"),
        *("--lora_low", f"{pair / 'low_noise_model.safetensors'}:0.5"),
    )
    without = generated(folder, tmp_path / "c")
    assert torch.equal(latents(together), latents(apart)) and not torch.equal(latents(together), latents(without))
    settings = load_record(together)["settings"]
    assert [(one["experts"], one["scale"]) for one in settings["loras"]] == [
        (["high_noise"], 0.5),
        (["low_noise"], 0.5),
    ]
    assert all(len(one["sha256"]) == 64 for one in settings["loras"]) and settings["lora_fused"]
    assert not load_record(without)["settings"].keys() & {"loras", "lora_fused", "quantize", "denoisers"}


@pytest.mark.parametrize("offload", ["none", "expert"])
def test_beside_the_weights_and_with_offloading(folder: Path, pair: Path, tmp_path: Path, offload: str) -> None:
    flags = ["--lora", str(pair), "--offload", offload]
    fused = generated(folder, tmp_path / "fused", *flags)
    beside = generated(folder, tmp_path / "beside", *flags, "--lora_unfused")
    torch.testing.assert_close(latents(beside), latents(fused), rtol=0, atol=1e-3)


def test_the_command_of_a_run_makes_it_again_and_a_file_carries_it(
    folder: Path, pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pair.parent)
    first = generated(folder, tmp_path / "first", "--lora", f"{pair.name}:0.25")
    recorded = recorded_request(first / "video.mp4")
    assert recorded.request.weights.lora == (Lora(pair, 0.25),)
    monkeypatch.chdir(tmp_path)
    again = tmp_path / "again"
    assert run("generate", ["--from", str(first / "video.mp4"), "--output_dir", str(again), "--quiet"]) == 0
    (made,) = again.glob("t2v-demo_*")
    assert torch.equal(latents(made), latents(first))
    assert not recorded.notices(prepare(recorded.request))
    other = dataclasses.replace(recorded, lora_sha256="0" * 64)
    assert "others than those" in other.notices(prepare(recorded.request))[0]
    assert "Lora hashes: " in load_record(first)["parameters"]
    missing = dataclasses.replace(recorded.request.weights, lora=(Lora(pair / "nothing"),))
    request = dataclasses.replace(recorded.request, weights=missing)
    with pytest.raises(InvalidInput, match=r"its --lora .* is not here"):
        dataclasses.replace(recorded, request=request).refuse_missing(request)


def test_another_file_under_the_same_name_is_not_resumed(folder: Path, tmp_path: Path) -> None:
    lora = write(tmp_path / "lora.safetensors", seed=3)
    made = generated(folder, tmp_path / "run", "--lora", str(lora))
    earlier_run(made)
    write(lora, seed=4)
    with pytest.raises(InvalidInput, match="loras was"):
        earlier_run(made)


def test_a_batch_loads_another_model_for_another_lora(folder: Path, pair: Path, tmp_path: Path) -> None:
    plain, with_pair = job(folder), job(folder, lora=(Lora(pair),))
    assert len({session_of(one) for one in (plain, with_pair, job(folder, lora=(Lora(pair, 0.5),)))}) == 3
    assert session_of(with_pair) == session_of(job(folder, lora=(Lora(pair),)))
    lines = [{"prompt": "a red circle", "seed": 1}, {"prompt": "a red circle", "seed": 1, "lora": [f"{pair.name}:0.5"]}]
    file = pair.parent / "lines.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    flags = ["--task", "t2v-demo", "--ckpt_dir", str(folder), *FEW, "--frame_num", "5", "--size", "32*32", "--quiet"]
    assert run("batch", [str(file), "--output_dir", str(tmp_path / "out"), *flags]) == 0
    made = sorted((tmp_path / "out").glob("0000*"))
    assert len(made) == 2 and not torch.equal(latents(made[0]), latents(made[1]))
    assert load_record(made[1])["settings"]["loras"][0]["path"] == str(pair / "high_noise_model.safetensors")


def test_from_python_the_same(folder: Path, pair: Path, tmp_path: Path) -> None:
    video = generated(folder, tmp_path / "run", "--lora", str(pair), "--prompt", "a red circle")
    pipeline = WanT2V(WAN_CONFIGS["t2v-demo"], str(folder), device="cpu", weights=WeightOptions(lora=(Lora(pair),)))
    geometry = prepare(parse_request([*SMALL[:-1], "--ckpt_dir", str(folder)])).geometry
    plan = prepare(parse_request([*SMALL[:-1], "--ckpt_dir", str(folder)])).plan
    assert plan.geometry == geometry
    made = pipeline.sample(plan, pipeline.encode("a red circle"), seed=1)
    assert torch.equal(made, latents(video))


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert run("generate", [*argv, "--dry_run"]) == 2
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1, sentence
    return sentence


def test_what_does_not_fit_is_refused_in_the_dry_run(
    folder: Path, pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lora = write(tmp_path / "lora.safetensors")
    demo = ["--task", "t2v-demo", "--lora", str(lora)]
    sentence = refusal(capsys, *demo)
    assert "does not fit the high-noise expert" in sentence and "makes a change of 48 x 48" in sentence
    assert "it was made for a model of width 48 with 1 blocks" in sentence
    assert "has one; use --lora" in refusal(capsys, "--task", "t2v-1.3B", "--lora_high", str(lora))
    assert "is not here" in refusal(capsys, "--task", "t2v-demo", "--lora", str(tmp_path / "no.safetensors"))
    assert "one file with 'high'" in refusal(capsys, "--task", "t2v-demo", "--lora", str(tmp_path))
    assert "needs a LoRA" in refusal(capsys, "--task", "t2v-demo", "--lora_unfused")
    assert "not a finite number" in refusal(capsys, "--task", "t2v-demo", "--lora", f"{lora}:nan")
    both = refusal(capsys, "--task", "t2v-demo", "--lora", str(lora), "--lora_unfused", "--quantize", "fp8")
    assert "--lora_unfused and --quantize fp8 do not go together" in both


def test_the_dry_run_says_what_a_lora_changes_of_the_shortcuts(
    folder: Path, pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--task", "t2v-demo", "--ckpt_dir", str(folder), "--lora", str(pair), "--dry_run"]
    assert run("generate", [*flags, *FEW]) == 0
    assert "CFG truncation has nothing to save" in capsys.readouterr().out
    lightning = write(tmp_path / "Wan2.2-Lightning-4steps.safetensors")
    assert run("generate", [*flags[:-2], str(lightning), "--dry_run"]) == 0
    assert "--sample_steps 4 --sample_guide_scale 1 --sample_solver euler" in capsys.readouterr().out
    demo = prepare(Request(task="t2v-demo", prompt="", shortcuts=Shortcuts(budget=0.5)))
    assert not any("without a LoRA" in notice for notice in demo.notices)
    tuned = dataclasses.replace(demo.request, weights=WeightOptions(lora=(Lora(pair),)))
    assert any("made for the checkpoint without a LoRA" in notice for notice in prepare(tuned).notices)


def test_truncation_at_guidance_1_changes_nothing(folder: Path) -> None:
    plain = prepare(parse_request([*SMALL[:-1], "--ckpt_dir", str(folder)])).plan
    for mode in ("uncond", "cond", "decay", "reuse"):
        flags = ["--cfg_truncate_steps", "2", "--cfg_truncate_mode", mode]
        truncated = prepare(parse_request([*SMALL[:-1], "--ckpt_dir", str(folder), *flags])).plan
        assert truncated.steps == plain.steps
        assert any("saves nothing" in notice for notice in truncated.notices)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a.safetensors", Lora(Path("a.safetensors"))),
        ("a.safetensors:0.8", Lora(Path("a.safetensors"), 0.8)),
        ("a.safetensors:-1", Lora(Path("a.safetensors"), -1.0)),
        ("C:\\loras\\a.safetensors", Lora(Path("C:\\loras\\a.safetensors"))),
        ("folder:1e-1", Lora(Path("folder"), 0.1)),
    ],
)
def test_a_strength_stands_behind_a_colon(text: str, wanted: Lora) -> None:
    assert lora_of(text) == wanted
    assert lora_of(wanted.text) == wanted


def test_the_demo_lora_has_a_name_that_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bundled(Path(DEMO_LORA)).is_dir()
    assert lora_beside(tmp_path, f"{DEMO_LORA}:0.5") == f"{DEMO_LORA}:0.5"
    assert lora_beside(tmp_path, "x:0.5") == f"{tmp_path / 'x'}:0.5"
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEMO_LORA).mkdir()
    assert bundled(Path(DEMO_LORA)) == Path(DEMO_LORA)


def test_the_demo_lora_fits_both_experts() -> None:
    demo = prepare(Request(task="t2v-demo", prompt="", weights=WeightOptions(lora=(lora_of(DEMO_LORA),))))
    assert [lora.experts for lora in demo.loras] == [(Expert.HIGH_NOISE,), (Expert.LOW_NOISE,)]
    assert sum(lora.path.stat().st_size for lora in demo.loras) < 2e6
    assert run("doctor", ["--ckpt_dir", str(demo.loras[0].path)]) == 0
