"""Conversion to the diffusers layout: bit-equal weights, stopping and resuming, refusals, diffusers' own loaders."""

import json
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline, WanImageToVideoPipeline, WanPipeline
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.goldens import CPU, RUNS, materialise
from wan.errors import CheckpointError, InvalidInput
from wan.loading import convert, convert_plan
from wan.loading.convert_plan import Conversion, plan_conversion
from wan.loading.convert_writer import TensorSpec, as_bytes, write_safetensors
from wan.loading.doctor import diagnose
from wan.loading.fingerprint import MANIFEST_NAME, read_manifest
from wan.loading.layouts import open_checkpoint
from wan.loading.models import components_of

SMALL_SHARDS = 200_000
CHECKPOINTS = [run for run in RUNS if run != "ti2v_5B_i2v_unipc"]  # its checkpoint is there twice
PIPELINES = {"WanT2V": WanPipeline, "WanTI2V": WanPipeline, "WanI2V": WanImageToVideoPipeline}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return materialise("t2v_A14B_unipc", tmp_path_factory.mktemp("official"), shards=2)


@pytest.fixture(scope="module")
def conversion(source: Path) -> Conversion:
    return plan_conversion(source, shard_bytes=SMALL_SHARDS)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same_parameters(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        tensor.dtype == second[name].dtype and torch.equal(as_bytes(tensor), as_bytes(second[name]))
        for name, tensor in first.items()
    )


@pytest.mark.parametrize("run", CHECKPOINTS)
def test_every_task_converts_to_bit_equal_weights_that_both_libraries_load(run: str, tmp_path: Path) -> None:
    config = RUNS[run].config
    official, result = materialise(run, tmp_path / "official"), tmp_path / "result"
    plan = plan_conversion(official, config)
    counted: list[int] = []
    convert.convert(plan, result, counted.append)
    assert sum(counted) == plan.byte_count
    assert not diagnose(result, config).problems
    old, new = open_checkpoint(config, official), open_checkpoint(config, result)
    assert (new.text_len, new.denoiser_size) == (old.text_len, old.denoiser_size)
    before, after = components_of(old), components_of(new)
    loaded = PIPELINES[config.entry].from_pretrained(result)
    for name in before:
        expected = before[name]().build(dtype=torch.float32, device=CPU)
        assert same_parameters(after[name]().build(dtype=torch.float32, device=CPU), expected), name
        assert same_parameters(getattr(loaded, name).to(torch.float32), expected), name
    assert loaded.config.boundary_ratio == config.boundary
    assert loaded.config.expand_timesteps == (config.entry == "WanTI2V")
    assert loaded.scheduler.config.flow_shift == config.sample_shift
    assert loaded.tokenizer("a cat").input_ids


def test_the_index_names_the_pipeline(source: Path, tmp_path: Path) -> None:
    convert.convert(plan_conversion(source), tmp_path / "result", lambda count: None)
    assert type(DiffusionPipeline.from_pretrained(tmp_path / "result")) is WanPipeline


def test_stored_dtypes_are_kept(source: Path, conversion: Conversion, tmp_path: Path) -> None:
    convert.convert(conversion, tmp_path / "result", lambda count: None)
    written = [tensor for file in (tmp_path / "result").rglob("*.safetensors") for tensor in load_file(file).values()]
    originals = [tensor for file in source.rglob("*.safetensors") for tensor in load_file(file).values()]
    assert {tensor.dtype for tensor in written} == {tensor.dtype for tensor in originals} == {torch.bfloat16}


def test_shards_stay_under_their_size_and_are_indexed(conversion: Conversion, tmp_path: Path) -> None:
    convert.convert(conversion, tmp_path / "result", lambda count: None)
    folder = tmp_path / "result" / "transformer"
    shards = sorted(folder.glob("*.safetensors"))
    assert [shard.name for shard in shards] == [
        "diffusion_pytorch_model-00001-of-00002.safetensors",
        "diffusion_pytorch_model-00002-of-00002.safetensors",
    ]
    weight_map = json.loads((folder / "diffusion_pytorch_model.safetensors.index.json").read_text())["weight_map"]
    assert weight_map == {name: shard.name for shard in shards for name in load_file(shard)}
    assert all(file.byte_count <= SMALL_SHARDS for file in conversion.weights if len(file.specs) > 1)


def test_a_stopped_conversion_continues_and_ends_the_same(
    conversion: Conversion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    convert.convert(conversion, whole, lambda count: None)
    seen = 0

    def stop_half_way(count: int) -> None:
        nonlocal seen
        seen += count
        if seen > conversion.byte_count / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert.convert(conversion, stopped, stop_half_way)
    assert not list(stopped.rglob(".partial-*"))
    (problem,) = diagnose(stopped).problems
    assert "is unfinished; run the command that makes it again" in problem.sentence
    assert diagnose(stopped).command(problem).startswith("python tools/convert_checkpoint.py ")
    with pytest.raises(CheckpointError, match="is unfinished"):
        open_checkpoint(conversion.checkpoint.config, stopped)
    left = convert.remaining(conversion, stopped)
    assert 0 < len(left) < len(conversion.weights)
    (stopped / "transformer" / ".partial-1-killed.safetensors").write_bytes(b"half a file")
    rewritten: list[int] = []
    convert.convert(conversion, stopped, rewritten.append)
    assert sum(rewritten) == sum(file.byte_count for file in left)
    one, other = contents(whole), contents(stopped)
    one.pop(MANIFEST_NAME), other.pop(MANIFEST_NAME)
    assert one == other


def test_a_finished_conversion_is_mended_where_it_was_damaged_and_else_left_alone(
    conversion: Conversion, tmp_path: Path
) -> None:
    convert.convert(conversion, tmp_path, lambda count: None)
    assert convert.remaining(conversion, tmp_path) == ()
    victim = tmp_path / conversion.weights[1].name
    victim.write_bytes(victim.read_bytes()[:-1])
    assert convert.remaining(conversion, tmp_path) == (conversion.weights[1],)
    convert.convert(conversion, tmp_path, lambda count: None)
    assert not diagnose(tmp_path).problems
    manifest = read_manifest(tmp_path)
    assert manifest and manifest.finished and set(manifest.files) == {file.name for file in conversion.weights}


def test_swapped_experts_of_a_result_are_found(conversion: Conversion, tmp_path: Path) -> None:
    convert.convert(conversion, tmp_path, lambda count: None)
    (tmp_path / "transformer").rename(tmp_path / "aside")
    (tmp_path / "transformer_2").rename(tmp_path / "transformer")
    (tmp_path / "aside").rename(tmp_path / "transformer_2")
    assert "are swapped" in diagnose(tmp_path).problems[0].sentence


def test_nothing_that_is_not_its_own_is_overwritten(conversion: Conversion, source: Path, tmp_path: Path) -> None:
    used = tmp_path / "used"
    used.mkdir()
    (used / "thesis.txt").write_text("mine")
    other = tmp_path / "other"
    convert.convert(plan_conversion(materialise("wan21_t2v_unipc", tmp_path / "o")), other, lambda count: None)
    for destination, expected in (
        (used, "holds files that no conversion wrote; give an empty or a new folder"),
        (other, "holds another checkpoint; give an empty or a new folder"),
        (used / "thesis.txt", "is a file, and the result is a folder"),
        (source, "lies inside the source"),
        (source / "deeper", "lies inside the source"),
    ):
        before = contents(tmp_path)
        with pytest.raises(InvalidInput, match=expected):
            convert.convert(conversion, destination, lambda count: None)
        assert contents(tmp_path) == before


def test_the_disk_is_checked_first(conversion: Conversion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "free_bytes", lambda path: 1000)
    with pytest.raises(InvalidInput, match=r"needs \d.* MB and its disk has 1.00 kB free; free some space"):
        convert.convert(conversion, tmp_path / "result", lambda count: None)
    assert not (tmp_path / "result").exists()


def test_what_is_no_whole_official_checkpoint_is_refused(source: Path, conversion: Conversion, tmp_path: Path) -> None:
    convert.convert(conversion, tmp_path / "result", lambda count: None)
    with pytest.raises(InvalidInput, match="is in the diffusers layout already"):
        plan_conversion(tmp_path / "result")
    with pytest.raises(CheckpointError, match="no denoiser that a task here runs"):
        plan_conversion(tmp_path / "absent")
    copy = shutil.copytree(source, tmp_path / "copy")
    (copy / "Wan2.1_VAE.pth").unlink()
    with pytest.raises(CheckpointError, match=r"Wan2\.1_VAE\.pth is missing"):
        plan_conversion(copy)


def test_a_file_that_reads_back_otherwise_is_refused(
    conversion: Conversion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_wrongly(path: Path, specs: tuple[TensorSpec, ...], read: object, on_bytes: object) -> None:
        write_safetensors(path, specs, lambda spec: torch.zeros(spec.shape, dtype=spec.dtype), lambda count: None)

    monkeypatch.setattr(convert, "write_safetensors", write_wrongly)
    with pytest.raises(CheckpointError, match="as it was read; check the disk and the memory"):
        convert.convert(conversion, tmp_path / "result", lambda count: None)


def test_another_source_is_another_conversion(source: Path, conversion: Conversion, tmp_path: Path) -> None:
    copy = shutil.copytree(source, tmp_path / "copy")
    assert plan_conversion(copy, shard_bytes=SMALL_SHARDS).origin == conversion.origin
    assert plan_conversion(copy).origin != conversion.origin
    shutil.copy(source / "high_noise_model" / "config.json", copy / "extra.json")
    assert plan_conversion(copy, shard_bytes=SMALL_SHARDS).origin != conversion.origin


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.float8_e4m3fn, torch.int64, torch.bool, torch.uint8]
)
def test_the_writer_makes_what_the_library_reads(dtype: torch.dtype, tmp_path: Path) -> None:
    tensors: dict[str, Tensor] = {
        "scalar": torch.tensor(3.0).to(dtype),
        "empty": torch.zeros(0, 4).to(dtype),
        "transposed": torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).mul(9).to(dtype).T,
        "wide": torch.tensor([float("nan"), -0.0, 1.5]),
    }
    specs = [TensorSpec(name=name, shape=tuple(tensor.shape), dtype=tensor.dtype) for name, tensor in tensors.items()]
    write_safetensors(tmp_path / "x.safetensors", specs, lambda spec: tensors[spec.name], lambda count: None)
    read = load_file(tmp_path / "x.safetensors")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype and read[name].shape == tensor.shape
        assert torch.equal(as_bytes(read[name]), as_bytes(tensor))


def test_the_writer_holds_one_tensor_at_a_time(tmp_path: Path) -> None:
    specs = [TensorSpec(name=f"t{index}", shape=(4, 4), dtype=torch.float32) for index in range(5)]
    alive: list[weakref.ref[Tensor]] = []

    def read(spec: TensorSpec) -> Tensor:
        assert all(reference() is None for reference in alive)
        tensor = torch.ones(spec.shape)
        alive.append(weakref.ref(tensor))
        return tensor

    write_safetensors(tmp_path / "x.safetensors", specs, read, lambda count: None)
    assert len(alive) == 5


def test_shards_have_the_size_that_the_documents_say() -> None:
    assert convert_plan.SHARD_BYTES == 5_000_000_000
