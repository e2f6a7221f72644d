"""The doctor: every kind of damage by its sentence and the command that mends it, the same as a run refuses it by."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.goldens import RUNS, materialise
from wan.configs import WAN_CONFIGS
from wan.errors import CheckpointError
from wan.loading import doctor
from wan.loading.described_model import DescribedModel, fitting_tasks, size_mismatch
from wan.loading.doctor import Diagnosis, diagnose
from wan.loading.fingerprint import Manifest, fingerprint, write_manifest
from wan.loading.layouts import open_checkpoint

T2V = WAN_CONFIGS["t2v-A14B"]
SHARD = "high_noise_model/diffusion_pytorch_model-00002-of-00003.safetensors"
DOWNLOAD = "python tools/download_model_weights.py --task t2v-A14B --layout official --output_dir "


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return materialise("t2v_A14B_unipc", tmp_path_factory.mktemp("official"), shards=3)


@pytest.fixture
def broken(pristine: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(pristine, tmp_path / "checkpoint")


def sentences(diagnosis: Diagnosis) -> list[str]:
    return [problem.sentence for problem in diagnosis.problems]


def edit_json(path: Path, **values: object) -> None:
    content = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.mark.parametrize("run", [run for run in RUNS if run != "ti2v_5B_i2v_unipc"])  # its checkpoint is there twice
@pytest.mark.parametrize("layout", ["official", "diffusers"])
def test_every_whole_checkpoint_is_healthy_and_names_its_task(run: str, layout: str, tmp_path: Path) -> None:
    diagnosis = diagnose(materialise(run, tmp_path, layout=layout, shards=2))
    assert not diagnosis.problems, sentences(diagnosis)
    assert RUNS[run].task in diagnosis.tasks
    assert diagnosis.layout == layout
    assert diagnosis.weight_files > 0 and diagnosis.weight_bytes > 0 and diagnosis.free_bytes > 0


@pytest.mark.parametrize("run", ["wan21_t2v_unipc", "wan21_i2v_unipc"])
def test_other_components_as_safetensors_beside_the_denoiser_are_not_taken_for_its_shards(
    run: str, tmp_path: Path
) -> None:
    folder = materialise(run, tmp_path)
    for pickle in folder.glob("*.pth"):
        save_file(torch.load(pickle, weights_only=True), pickle.with_suffix(".safetensors"))
        pickle.unlink()
    assert sentences(diagnose(folder, RUNS[run].config)) == []


def truncate(folder: Path) -> None:
    with (folder / SHARD).open("rb+") as file:
        file.truncate(file.seek(0, 2) - 100)


def lengthen(folder: Path) -> None:
    with (folder / SHARD).open("ab") as file:
        file.write(b"more")


def cut_pth(folder: Path) -> None:
    with (folder / "Wan2.1_VAE.pth").open("rb+") as file:
        file.truncate(5000)


def leave_lfs_pointer(folder: Path) -> None:
    (folder / SHARD).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def swap_in_other_vae(folder: Path) -> None:
    other = materialise("ti2v_5B_t2v_unipc", folder.parent / "other")
    shutil.copy(other / "Wan2.2_VAE.pth", folder / "Wan2.1_VAE.pth")


def copy_expert(folder: Path) -> None:
    shutil.rmtree(folder / "low_noise_model")
    shutil.copytree(folder / "high_noise_model", folder / "low_noise_model")


def low_config(**values: object) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "low_noise_model" / "config.json", **values)


DAMAGES = {
    "shard missing": (lambda folder: (folder / SHARD).unlink(), "00002-of-00003.safetensors is missing"),
    "shard cut short": (truncate, "its download was cut short"),
    "shard too long": (lengthen, "bytes where its header says"),
    "shard is no tensor file": (
        lambda folder: (folder / SHARD).write_bytes(b"weights, allegedly"),
        "is not a safetensors file",
    ),
    "shard is a pointer": (leave_lfs_pointer, "is a Git LFS pointer of"),
    "pth cut short": (cut_pth, "is not a whole torch file"),
    "pth missing": (lambda folder: (folder / "Wan2.1_VAE.pth").unlink(), "Wan2.1_VAE.pth is missing"),
    "other VAE": (swap_in_other_vae, "has z_dim 48 where the model needs 16"),
    "tokenizer missing": (
        lambda folder: shutil.rmtree(folder / "google"),
        "umt5-xxl is missing, the tokenizer's folder",
    ),
    "tokenizer incomplete": (
        lambda folder: (folder / "google/umt5-xxl/tokenizer.json").unlink(),
        "a file of the tokenizer",
    ),
    "tokenizer is a pointer": (
        lambda folder: (folder / "google/umt5-xxl/tokenizer.json").write_text("version https"),
        "tokenizer.json is not the tokenizer's file but 13 bytes of something else",
    ),
    "config missing": (lambda folder: (folder / "low_noise_model/config.json").unlink(), "has no config.json"),
    "config is no JSON": (
        lambda folder: (folder / "low_noise_model/config.json").write_text("{"),
        "cannot be read as JSON",
    ),
    "config of a deeper model": (
        low_config(num_layers=3),
        "low_noise_model does not hold the model that its config.json",
    ),
    "config of a wider model": (low_config(ffn_dim=256), "has the shape (128, 64) where the model needs (256, 64)"),
    "config lacks a number": (low_config(num_heads=None), "num_heads"),
    "config with nonsense": (low_config(num_heads="many"), "low_noise_model"),
    "one expert of another task": (low_config(in_dim=36), "describes a denoiser with 36 input channels"),
    "identical experts": (copy_expert, "hold the same weights"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_has_its_sentence_and_the_command_that_mends_it(damage: str, broken: Path) -> None:
    harm, expected = DAMAGES[damage]
    harm(broken)
    diagnosis = diagnose(broken, T2V)
    assert any(expected in sentence for sentence in sentences(diagnosis)), sentences(diagnosis)
    for problem in diagnosis.problems:
        assert diagnosis.command(problem) == DOWNLOAD + str(broken)
        assert "\n" not in problem.sentence


def test_all_problems_are_listed_and_a_run_is_refused_by_the_first(broken: Path) -> None:
    for damage in ("shard cut short", "pth missing", "tokenizer missing", "config of a deeper model"):
        DAMAGES[damage][0](broken)
    found = sentences(diagnose(broken))
    assert len(found) == 4
    for expected in ("cut short", "Wan2.1_VAE.pth is missing", "tokenizer's folder", "low_noise_model does not hold"):
        assert sum(expected in sentence for sentence in found) == 1, expected
    with pytest.raises(CheckpointError) as refusal:
        open_checkpoint(T2V, broken)
    assert str(refusal.value).startswith(found[0])
    assert f"2 more: python tools/doctor.py --ckpt_dir {broken} --task t2v-A14B" in str(refusal.value)


def test_a_wrong_task_is_told_the_right_one_and_the_rest_is_judged_by_it(broken: Path) -> None:
    DAMAGES["tokenizer missing"][0](broken)
    for task, expected in (("i2v-A14B", "with 16 input channels"), ("ti2v-5B", "holds two experts")):
        diagnosis = diagnose(broken, WAN_CONFIGS[task])
        first, second = diagnosis.problems
        assert expected in first.sentence and first.sentence.endswith("it fits --task t2v-A14B")
        assert diagnosis.command(first) == f"python tools/doctor.py --ckpt_dir {broken} --task t2v-A14B"
        assert "tokenizer" in second.sentence and "--task t2v-A14B" in diagnosis.command(second)


def test_folders_near_a_checkpoint_lead_to_it(pristine: Path, tmp_path: Path) -> None:
    parent = tmp_path / "models"
    shutil.copytree(pristine, parent / "Wan2.2-T2V-A14B")
    for wrong in (parent, parent / "Wan2.2-T2V-A14B" / "high_noise_model"):
        diagnosis = diagnose(wrong)
        (problem,) = diagnosis.problems
        assert "is not the checkpoint's folder" in problem.sentence
        assert diagnosis.command(problem) == f"python tools/doctor.py --ckpt_dir {parent / 'Wan2.2-T2V-A14B'}"


def test_folders_that_hold_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "it holds nothing" in sentences(diagnose(tmp_path / "empty"))[0]
    absent = diagnose(tmp_path / "absent")
    assert "is not a directory" in sentences(absent)[0]
    assert absent.command(absent.problems[0]) == DOWNLOAD + str(tmp_path / "absent")
    model = tmp_path / "other"
    model.mkdir()
    (model / "config.json").write_text('{"_class_name": "UNet", "in_dim": 4}')
    assert "describes a 'UNet', and this program needs WanModel" in sentences(diagnose(model))[0]
    (model / "config.json").write_text('{"in_dim": 4}')
    assert "has no config.json of a denoiser that a task here runs" in sentences(diagnose(model))[0]
    assert "no task here runs it" in sentences(diagnose(model, WAN_CONFIGS["t2v-14B"]))[0]


def test_experts_that_link_to_one_file_are_identical(broken: Path) -> None:
    low = broken / "low_noise_model"
    for file in low.glob("*.safetensors"):
        file.unlink()
        file.symlink_to(broken / "high_noise_model" / file.name)
    assert "hold the same weights" in sentences(diagnose(broken))[0]


def test_swapped_experts_are_found_by_the_manifest_of_their_download(broken: Path) -> None:
    weights = broken.glob("*/*.safetensors")
    files = {path.relative_to(broken).as_posix(): fingerprint(path) for path in weights}
    high, low = broken / "high_noise_model", broken / "low_noise_model"
    high.rename(broken / "aside")
    low.rename(high)
    (broken / "aside").rename(low)
    assert not diagnose(broken).problems  # nothing but a record of what was where can tell
    write_manifest(broken, Manifest(made_by="download", origin="hub", finished=True, files=files))
    diagnosis = diagnose(broken)
    (problem,) = diagnosis.problems
    assert "are swapped" in problem.sentence
    assert diagnosis.command(problem) == f"mv {high} {high}.aside && mv {low} {high} && mv {high}.aside {low}"
    with pytest.raises(CheckpointError, match="are swapped"):
        open_checkpoint(T2V, broken)


def test_published_sizes_tell_tasks_apart() -> None:
    large = DescribedModel(
        source=Path("c"), has_two_experts=False, in_channels=16, dim=5120, ffn_dim=13824, num_layers=40
    )
    small = replace(large, dim=1536, ffn_dim=8960, num_layers=30)
    unusual = replace(large, dim=64)
    assert fitting_tasks(large) == ("t2v-14B", "t2i-14B")
    assert fitting_tasks(small) == ("t2v-1.3B",)
    assert fitting_tasks(unusual) == ("t2v-1.3B", "t2v-14B", "t2i-14B")
    assert fitting_tasks(replace(large, has_two_experts=True)) == ("t2v-A14B",)
    assert fitting_tasks(replace(large, in_channels=7)) == ()
    problem = size_mismatch(small, WAN_CONFIGS["t2v-14B"])
    assert problem and problem.task == "t2v-1.3B" and "width 1536 with 30 layers" in problem.sentence
    assert size_mismatch(unusual, WAN_CONFIGS["t2v-14B"]) is None


def test_a_disk_without_room_is_a_problem(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (broken / SHARD).unlink()
    index = broken / "high_noise_model" / "diffusion_pytorch_model.safetensors.index.json"
    edit_json(index, metadata={"total_size": 57 * 10**9})
    monkeypatch.setattr(doctor, "free_bytes", lambda path: 10**8)
    found = sentences(diagnose(broken))
    assert any("need 57.00 GB and its disk has 100.00 MB free" in sentence for sentence in found)
    assert any("a run should have 1.07 GB" in sentence for sentence in found)


@pytest.mark.parametrize("content", [b"", b'{"weight_map": 3}', None])
def test_no_content_of_any_file_makes_it_raise(content: bytes | None, broken: Path) -> None:
    """Every file in turn is replaced by nonsense, or (None) by a folder."""
    for path in sorted(path for path in broken.rglob("*") if path.is_file()):
        aside = path.rename(broken.parent / path.name)
        path.write_bytes(content) if content is not None else path.mkdir()
        found = sentences(diagnose(broken))
        assert all(sentence and "\n" not in sentence for sentence in found)
        # what is inside these is the tokenizer library's
        assert found or path.parent.name == "umt5-xxl"
        path.unlink() if path.is_file() else path.rmdir()
        aside.rename(path)
    assert not diagnose(broken).problems
