"""The shipped demo checkpoint loads unchanged in diffusers' WanPipeline, is small, and knows its own vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import UniPCMultistepScheduler, WanPipeline

import evaluate_demo_model
from tests.tools.conftest import RunTool
from wan.demo_world.words import vocabulary

CHECKPOINT = Path(__file__).parents[2] / "checkpoints" / "t2v-demo"
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def pipeline() -> WanPipeline:
    return WanPipeline.from_pretrained(CHECKPOINT)


def test_folder_is_at_most_25_megabytes_of_safetensors() -> None:
    files = [path for path in CHECKPOINT.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 25 * MEGABYTE
    assert {path.suffix for path in files} <= {".json", ".safetensors"}


def test_index_names_the_boundary_and_the_solver(pipeline: WanPipeline) -> None:
    assert json.loads((CHECKPOINT / "model_index.json").read_text())["boundary_ratio"] == 0.875
    assert isinstance(pipeline.scheduler, UniPCMultistepScheduler)
    assert pipeline.scheduler.config.prediction_type == "flow_prediction"
    assert pipeline.scheduler.config.use_flow_sigmas and pipeline.scheduler.config.flow_shift == 12.0


def test_parts_are_a_miniature_wan22(pipeline: WanPipeline) -> None:
    assert pipeline.vae.config.z_dim == 16
    assert (pipeline.vae_scale_factor_temporal, pipeline.vae_scale_factor_spatial) == (4, 8)
    high, low = pipeline.transformer.state_dict(), pipeline.transformer_2.state_dict()
    assert high.keys() == low.keys()
    assert any(not torch.equal(high[name], low[name]) for name in high)
    assert set(vocabulary()) <= set(pipeline.tokenizer.get_vocab())


def test_pipeline_makes_a_clip_from_a_prompt_with_default_text_length(pipeline: WanPipeline) -> None:
    pipeline.set_progress_bar_config(disable=True)
    clip = pipeline(
        "a red circle moving right on a blue background",
        height=64,
        width=64,
        num_frames=5,
        num_inference_steps=2,
        guidance_scale=4.0,
        guidance_scale_2=3.0,
        generator=torch.Generator().manual_seed(0),
    ).frames
    assert clip.shape == (1, 5, 64, 64, 3)


def test_evaluation_writes_its_report_and_sheet(
    tool: RunTool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--ckpt_dir",
        str(CHECKPOINT),
        "--output_dir",
        str(tmp_path),
        "--prompts",
        "1",
        "--steps",
        "1",
        "--quick",
    ]
    assert tool(evaluate_demo_model, arguments) == 0
    assert "target" in capsys.readouterr().out
    report = json.loads((tmp_path / "evaluation.json").read_text())
    assert report["prompts"] == 1 and set(report["guided"]) == {"colour", "background", "motion", "shape", "all_four"}
    assert (tmp_path / "contact_sheet.png").stat().st_size > 1000
