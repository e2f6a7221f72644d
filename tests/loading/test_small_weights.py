"""Denoisers in fp8, int8, GGUF and ComfyUI's single files: what is stored, what it computes, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from demo_model.gguf_file import official_tensors, write_gguf
from tests.goldens import RUNS, materialise
from tests.tiny_checkpoint import make_tiny_checkpoint
from wan.cli.main import run
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.loading.denoiser_files import find_denoisers, stored_parameters
from wan.loading.denoiser_names import with_official_names
from wan.loading.layouts import Checkpoint, open_checkpoint
from wan.loading.models import check_weights, load_expert, prepare_expert
from wan.loading.quantised import FP8, stored_bytes
from wan.runs.latents import load_latents
from wan.sampling.plan import Expert
from wan.untrusted.gguf_header import TYPES, read_gguf_header
from wan.untrusted.refusal import Refused
from wan.weight_options import WeightOptions

CPU = torch.device("cpu")
DEMO = WAN_CONFIGS["t2v-demo"]
PARTS = {Expert.HIGH_NOISE: "transformer", Expert.LOW_NOISE: "transformer_2"}
FLAGS = {Expert.HIGH_NOISE: "denoiser_high", Expert.LOW_NOISE: "denoiser_low"}
SMALL = ["--sample_steps", "3", "--frame_num", "5", "--size", "32*32", "--base_seed", "1", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return open_checkpoint(DEMO, folder)


def expert_file(folder: Path, expert: Expert) -> Path:
    return folder / PARTS[expert] / "diffusion_pytorch_model.safetensors"


def official(folder: Path, expert: Expert) -> dict[str, Tensor]:
    return official_tensors(expert_file(folder, expert))


def output(model: torch.nn.Module, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    latents, text = torch.randn(1, 16, 2, 4, 4, generator=generator), torch.randn(1, 5, 32, generator=generator)
    with torch.no_grad():
        return model(latents.to(dtype), torch.tensor([500]), text.to(dtype), return_dict=False)[0].float()


def is_near(one: Tensor, other: Tensor, share: float) -> bool:
    return float((one - other).std() / other.std()) < share


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fp8_stores_the_layers_small_and_computes_nearly_the_same(checkpoint: Checkpoint, dtype: torch.dtype) -> None:
    plain = load_expert(checkpoint, Expert.HIGH_NOISE, dtype=dtype, device=CPU)
    small = prepare_expert(checkpoint, Expert.HIGH_NOISE, dtype=dtype, weights=WeightOptions(quantize="fp8"))(CPU)
    assert small.dtype == dtype
    state = small.state_dict()
    assert state["blocks.0.attn1.to_q.weight"].dtype == state["blocks.0.ffn.net.2.weight"].dtype == FP8
    assert state["patch_embedding.weight"].dtype == dtype
    assert stored_bytes(small.blocks) < (0.6 if dtype == torch.bfloat16 else 0.3) * stored_bytes(plain.blocks)
    for _ in range(2):  # the layers are small again after a forward
        assert is_near(output(small, dtype), output(plain, dtype), 0.1)
        assert small.state_dict()["blocks.0.attn1.to_q.weight"].dtype == FP8


def test_int8_stores_the_blocks_small_and_computes_nearly_the_same(checkpoint: Checkpoint) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed: pip install -r requirements-quantize.txt")
    plain = load_expert(checkpoint, Expert.LOW_NOISE, dtype=torch.float32, device=CPU)
    small = prepare_expert(checkpoint, Expert.LOW_NOISE, dtype=torch.float32, weights=WeightOptions(quantize="int8"))(
        CPU
    )
    assert small.blocks[0].attn1.to_q.weight.qdata.dtype == torch.int8
    assert stored_bytes(small.blocks) < 0.4 * stored_bytes(plain.blocks)
    assert small.dtype == torch.float32
    assert is_near(output(small), output(plain), 0.03)


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
@pytest.mark.parametrize("ending", [".scale_weight", ".weight_scale"])
def test_an_fp8_scaled_file_is_its_numbers_times_their_scales(
    folder: Path, tmp_path: Path, prefix: str, ending: str
) -> None:
    wanted, file = {}, {f"{prefix}scaled_fp8": torch.zeros(2, dtype=FP8)}
    for name, tensor in official(folder, Expert.HIGH_NOISE).items():
        if name.startswith("blocks.") and tensor.ndim == 2:
            scale = tensor.abs().max() / 448
            small = (tensor / scale).to(FP8)
            file[prefix + name] = small
            file[prefix + name.removesuffix(".weight") + ending] = scale
            file[prefix + name.removesuffix(".weight") + ".scale_input"] = torch.tensor(1.0)
            wanted[name] = small.float() * scale
        else:
            file[prefix + name] = tensor
    path = tmp_path / "high.safetensors"
    save_file(file, path)
    opened = open_checkpoint(DEMO, folder, replaced=((Expert.HIGH_NOISE, path),))
    check_weights(opened)
    state = load_expert(opened, Expert.HIGH_NOISE, dtype=torch.float32, device=CPU).state_dict()
    theirs = with_official_names(state)  # type: ignore[arg-type]
    assert len(wanted) > 5
    for name, tensor in wanted.items():
        assert torch.equal(theirs[name], tensor)


def test_a_single_file_of_the_official_layout_has_the_same_model(tmp_path: Path) -> None:
    config = RUNS["t2v_A14B_unipc"].config
    place = materialise("t2v_A14B_unipc", tmp_path / "checkpoint")
    whole = open_checkpoint(config, place)
    wanted = load_expert(whole, Expert.HIGH_NOISE, dtype=torch.float32, device=CPU).state_dict()
    (shards := sorted((place / "high_noise_model").glob("*.safetensors")))
    tensors = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
    path = tmp_path / "one.safetensors"
    save_file({f"diffusion_model.{name}": tensor for name, tensor in tensors.items()}, path)
    for shard in shards:
        shard.unlink()
    opened = open_checkpoint(config, place, replaced=((Expert.HIGH_NOISE, path),))
    check_weights(opened)
    state = load_expert(opened, Expert.HIGH_NOISE, dtype=torch.float32, device=CPU).state_dict()
    assert state.keys() == wanted.keys() and all(torch.equal(state[name], wanted[name]) for name in wanted)


class TestGguf:
    """With the package gguf, which also writes the files."""

    @pytest.fixture(autouse=True)
    def _needs_gguf(self) -> None:
        pytest.importorskip("gguf", reason="gguf is not installed: pip install -r requirements-quantize.txt")

    @pytest.fixture
    def files(self, folder: Path, tmp_path: Path) -> dict[Expert, Path]:
        return {expert: self.written(folder, expert, tmp_path / f"{part}.gguf") for expert, part in PARTS.items()}

    def written(self, folder: Path, expert: Expert, path: Path, kind: str = "Q8_0") -> Path:
        """Of the tiny model's matrices those of the feed-forward's end have rows of whole blocks of 32."""
        return write_gguf(official(folder, expert), path, kind=kind)

    def test_our_header_says_what_the_package_says(self, files: dict[Expert, Path]) -> None:
        import gguf

        path = files[Expert.HIGH_NOISE]
        ours = read_gguf_header(path)
        theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
        assert ours.tensors.keys() == theirs.keys() and ours.notes["general.architecture"] == "wan"
        for name, tensor in theirs.items():
            own = ours.tensors[name]
            assert (own.dtype, own.shape) == (tensor.tensor_type.name, tuple(map(int, tensor.shape[::-1])))
            assert (own.offset, own.byte_count) == (tensor.data_offset, tensor.n_bytes)

    def test_every_type_is_as_large_as_the_package_says_and_is_read_by_diffusers(self) -> None:
        import gguf
        from diffusers.quantizers.gguf.utils import GGUFParameter, dequantize_gguf_tensor

        for number, (name, values, size) in TYPES.items():
            kind = gguf.GGMLQuantizationType(number)
            assert (kind.name, *gguf.GGML_QUANT_SIZES[kind]) == (name, values, size)
            if name in ("F32", "F16", "BF16"):
                continue
            raw = np.random.default_rng(number).integers(0, 256, (4, 256 // values * size), dtype=np.uint8)
            theirs = gguf.quants.dequantize(raw, kind)
            ours = dequantize_gguf_tensor(GGUFParameter(torch.from_numpy(raw), quant_type=kind)).float().numpy()
            finite = np.isfinite(theirs) & np.isfinite(ours)  # any bytes are a block, also of scales that are none
            assert finite.any() and np.abs(theirs - ours)[finite].max() <= 1e-3 * np.abs(theirs[finite]).max()

    @pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q5_1"])
    def test_the_blocks_stay_quantised_and_compute_nearly_the_same(
        self, folder: Path, tmp_path: Path, kind: str
    ) -> None:
        path = self.written(folder, Expert.HIGH_NOISE, tmp_path / "high.gguf", kind)
        opened = open_checkpoint(DEMO, folder, replaced=((Expert.HIGH_NOISE, path),))
        check_weights(opened)
        plain = load_expert(opened, Expert.LOW_NOISE, dtype=torch.float32, device=CPU)  # the other is as it was
        assert not hasattr(plain.blocks[0].ffn.net[2].weight, "quant_type")
        small = load_expert(opened, Expert.HIGH_NOISE, dtype=torch.float32, device=CPU)
        assert small.blocks[0].ffn.net[2].weight.quant_type.name == kind
        whole = load_expert(open_checkpoint(DEMO, folder), Expert.HIGH_NOISE, dtype=torch.float32, device=CPU)
        assert is_near(output(small), output(whole), 0.1)
        assert stored_bytes(small) < stored_bytes(whole)

    def test_a_lora_works_beside_quantised_weights(
        self, folder: Path, files: dict[Expert, Path], tmp_path: Path
    ) -> None:
        generator = torch.Generator().manual_seed(2)
        lora = {
            "blocks.0.ffn.2.lora_down.weight": torch.randn(4, 64, generator=generator),
            "blocks.0.ffn.2.lora_up.weight": 0.3 * torch.randn(48, 4, generator=generator),
            "blocks.0.ffn.0.diff_b": torch.full((64,), 0.1),
        }
        save_file(lora, tmp_path / "lora.safetensors")
        plain, small = tmp_path / "plain", tmp_path / "small"
        argv = ["--task", "t2v-demo", "--ckpt_dir", str(folder), *SMALL, "--lora", str(tmp_path / "lora.safetensors")]
        quantised = [word for expert, path in files.items() for word in (f"--{FLAGS[expert]}", str(path))]
        assert run("generate", [*argv, "--output_dir", str(plain)]) == 0
        assert run("generate", [*argv, *quantised, "--output_dir", str(small)]) == 0
        assert run("generate", [*argv[:-2], *quantised, "--output_dir", str(tmp_path / "without")]) == 0
        made = {place: latents(tmp_path / place) for place in ("plain", "small", "without")}
        assert is_near(made["small"], made["plain"], 0.1) and not is_near(made["without"], made["small"], 0.1)

    def test_a_folder_of_gguf_files_is_found_by_itself(self, folder: Path, tmp_path: Path) -> None:
        import shutil

        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        for expert, part in PARTS.items():
            name = {"transformer": "HighNoise", "transformer_2": "LowNoise"}[part]
            self.written(folder, expert, copy / part / f"Wan-{name}-Q8_0.gguf")
            expert_file(copy, expert).unlink()
        argv = ["--task", "t2v-demo", "--ckpt_dir", str(copy), *SMALL, "--output_dir", str(tmp_path / "out")]
        assert run("generate", argv) == 2
        assert run("generate", [*argv, "--quantize", "gguf"]) == 0
        (record,) = (tmp_path / "out").glob("*/run.json")
        settings = json.loads(record.read_text(encoding="utf-8"))["settings"]
        assert settings["quantize"] == "gguf"
        assert [one["expert"] for one in settings["denoisers"]] == ["high_noise", "low_noise"]
        assert all(len(one["sha256"]) == 64 for one in settings["denoisers"])

    @pytest.mark.parametrize("offload", ["none", "expert"])
    def test_it_works_with_offloading(
        self, folder: Path, files: dict[Expert, Path], offload: str, tmp_path: Path
    ) -> None:
        argv = [
            "--task",
            "t2v-demo",
            "--ckpt_dir",
            str(folder),
            *SMALL,
            "--offload",
            offload,
            "--output_dir",
            str(tmp_path),
        ]
        assert run("generate", [*argv, *(w for e, path in files.items() for w in (f"--{FLAGS[e]}", str(path)))]) == 0


def latents(folder: Path) -> Tensor:
    (file,) = folder.glob("*/latents.safetensors")
    return load_latents(file)


@pytest.mark.parametrize("quantize", ["fp8", "int8"])
@pytest.mark.parametrize("offload", ["none", "expert"])
def test_quantised_runs_work_with_offloading(quantize: str, offload: str, folder: Path, tmp_path: Path) -> None:
    if quantize == "int8":
        pytest.importorskip("torchao", reason="torchao is not installed: pip install -r requirements-quantize.txt")
    argv = ["--task", "t2v-demo", "--ckpt_dir", str(folder), *SMALL, "--offload", offload]
    assert run("generate", [*argv, "--output_dir", str(tmp_path / "plain")]) == 0
    assert run("generate", [*argv, "--quantize", quantize, "--output_dir", str(tmp_path / "small")]) == 0
    small, plain = latents(tmp_path / "small"), latents(tmp_path / "plain")
    assert is_near(small, plain, 0.2) and not torch.equal(small, plain)


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert run("generate", ["--task", "t2v-demo", *argv, "--dry_run"]) == 2
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1
    return sentence


def test_what_cannot_be_stored_is_refused_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import wan.weight_rules

    monkeypatch.setattr(wan.weight_rules.importlib.util, "find_spec", lambda name: None)
    assert "--quantize int8 needs the package torchao" in refusal(capsys, "--quantize", "int8")
    gguf = tmp_path / "a.gguf"
    gguf.write_bytes(b"GGUF")
    assert "it has 4 bytes, and its header alone is longer" in refusal(capsys, "--denoiser_high", str(gguf))
    assert "does not suit t2v-demo, which has two experts" in refusal(capsys, "--denoiser", str(gguf))
    assert "--compile and --quantize fp8" in refusal(capsys, "--quantize", "fp8", "--compile")


def test_a_file_of_another_kind_is_refused(folder: Path, tmp_path: Path) -> None:
    lora = tmp_path / "lora.safetensors"
    save_file({"blocks.0.ffn.2.lora_down.weight": torch.zeros(1, 64)}, lora)
    packed = tmp_path / "packed.safetensors"
    save_file({"blocks.0.ffn.2.weight": torch.zeros(4, 4, dtype=torch.uint8), "a": torch.zeros(1)}, packed)
    for path, words in (
        (lora, "is a LoRA"),
        (packed, "as U8"),
        (folder, "cannot be used"),
        (tmp_path / "no", "missing"),
    ):
        with pytest.raises(InvalidInput, match=words):
            find_denoisers(WeightOptions(denoiser_high=path), DEMO, folder)


def test_gguf_and_another_quantisation_exclude_each_other(folder: Path, tmp_path: Path) -> None:
    file = expert_file(folder, Expert.HIGH_NOISE)
    with pytest.raises(InvalidInput, match=r"needs a \.gguf file"):
        find_denoisers(WeightOptions(denoiser_high=file, denoiser_low=file, quantize="gguf"), DEMO, folder)
    with pytest.raises(InvalidInput, match="finds no GGUF file for the high_noise expert"):
        find_denoisers(WeightOptions(quantize="gguf"), DEMO, folder)


def test_a_truncated_gguf_file_is_refused(tmp_path: Path) -> None:
    import struct

    name = b"blocks.0.ffn.2.weight"
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", len(name)) + name
    whole = head + struct.pack("<IQQIQ", 2, 32, 4, 8, 0)
    for content, words in (
        (whole, "bytes"),  # nothing of the tensor is there
        (head, "its header alone is longer"),
        (b"GGUF" + struct.pack("<IQQ", 1, 1, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 0), "which no model has"),
        (head + struct.pack("<IQQIQ", 2, 32, 4, 99, 0), "type 99"),
        (head + struct.pack("<IQQIQ", 2, 31, 4, 8, 0) + bytes(999), "cannot be made of blocks"),
        (head + struct.pack("<IQQIQ", 2, 32, 4, 8, 7) + bytes(999), "does not begin where"),
        (head + struct.pack("<I", 99), "has 99 axes"),
    ):
        path = tmp_path / "x.gguf"
        path.write_bytes(content)
        with pytest.raises(Refused, match=words):
            read_gguf_header(path)
    place = -(-len(whole) // 32) * 32
    path.write_bytes(whole.ljust(place, b"\0") + bytes(4 * 34))
    assert read_gguf_header(path).tensors[name.decode()].shape == (4, 32)
    assert stored_parameters(path).keys() == {"blocks.0.ffn.net.2.weight"}
