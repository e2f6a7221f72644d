"""The demo LoRA's training, one step of everything: what it writes fits both experts, and it goes on where it was."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import train_demo_lora
from demo_model import distil, trajectories
from wan.job import prepare
from wan.request import Request
from wan.weight_options import Lora, WeightOptions


@pytest.mark.slow
def test_one_step_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trajectories, "SHARD", 1)
    monkeypatch.setattr(distil, "BATCHES", {"high": 1, "low": 1})
    work, export = tmp_path / "work", tmp_path / "export"
    argv = ["--work_dir", str(work), "--export", str(export), "--clips", "1", "--high_steps", "2", "--low_steps", "2"]
    train_demo_lora.main(argv)
    (shard,) = (work / "trajectories").glob("*.pt")
    states = torch.load(shard)["states"]
    assert states.shape == (5, 1, 16, 13, 8, 8) and states.isfinite().all()
    stamps = {path: path.stat().st_mtime_ns for path in (shard, work / "high.pt")}
    train_demo_lora.main(argv)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items() if path == shard)
    made = prepare(Request(task="t2v-demo", prompt="", weights=WeightOptions(lora=(Lora(export),)))).loras
    assert [lora.path.name for lora in made] == ["high_noise_model.safetensors", "low_noise_model.safetensors"]
    tensors = load_file(made[0].path)
    assert len(tensors) == 2 * 10 * 6 and all(tensor.dtype == torch.float16 for tensor in tensors.values())
    assert any(tensor.any() for name, tensor in tensors.items() if ".lora_B." in name)


def test_each_expert_makes_its_own_steps() -> None:
    grid = trajectories.student_grid(prepare(Request(task="t2v-demo", prompt="")))
    assert distil.own_places("high", grid, 0.875) == [0, 1, 2] and distil.own_places("low", grid, 0.875) == [3]


def test_the_teacher_meets_every_noise_level_of_the_student() -> None:
    job = prepare(Request(task="t2v-demo", prompt=""))
    teacher, student = trajectories.teacher_plan(job), trajectories.student_grid(job)
    every = trajectories.TEACHER_STEPS // trajectories.STUDENT_STEPS
    assert [step.sigma_next for step in teacher.steps][every - 1 :: every] == list(student.sigmas[1:])
