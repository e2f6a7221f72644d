"""From files to a model: dtypes, ties, devices, one tensor at a time, and files that are not what they should be."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.goldens import CPU, RUNS, materialise, tensors, worst
from wan.errors import CheckpointError
from wan.loading import official_models
from wan.loading.layouts import Checkpoint, open_checkpoint
from wan.loading.models import check_weights, load_expert, load_vae
from wan.loading.weights import PickledWeights, SafetensorsWeights, open_weights
from wan.sampling.plan import Expert

RUN = "t2v_A14B_unipc"
VAE = "Wan2.1_VAE.pth"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return materialise(RUN, tmp_path / "checkpoint")


def opened(folder: Path) -> Checkpoint:
    return open_checkpoint(RUNS[RUN].config, folder)


def test_bfloat16_keeps_what_diffusers_keeps_in_float32(folder: Path, tmp_path: Path) -> None:
    model = load_expert(opened(folder), Expert.HIGH_NOISE, dtype=torch.bfloat16, device=CPU)
    model.save_pretrained(tmp_path / "saved")
    expected = WanTransformer3DModel.from_pretrained(tmp_path / "saved", torch_dtype=torch.bfloat16)
    dtypes = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    assert dtypes == {name: tensor.dtype for name, tensor in expected.state_dict().items()}
    assert set(dtypes.values()) == {torch.bfloat16, torch.float32}
    assert model.dtype == torch.bfloat16


def test_float32_means_all_of_it(folder: Path) -> None:
    checkpoint = opened(folder)
    for component in (official_models.text_encoder(checkpoint), official_models.vae(checkpoint)):
        model = component.build(dtype=torch.float32, device=CPU)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())


def test_the_shared_embedding_is_one_tensor(folder: Path) -> None:
    model = official_models.text_encoder(opened(folder)).build(dtype=torch.float32, device=CPU)
    assert model.shared.weight is model.encoder.embed_tokens.weight


def test_weights_of_the_wanted_dtype_stay_in_their_file(folder: Path) -> None:
    weights = SafetensorsWeights([folder / "high_noise_model" / "diffusion_pytorch_model.safetensors"])
    name = "blocks.0.ffn.0.weight"
    assert weights.shapes[name] == (128, 64)
    assert torch.equal(weights.read(name), tensors("weights_dit_t2v-A14B_high")[name])


def test_single_files_may_be_safetensors(folder: Path) -> None:
    expected = load_vae(opened(folder), device=CPU).model.state_dict()
    save_file(tensors("weights_vae21"), folder / "Wan2.1_VAE.safetensors")
    (folder / VAE).unlink()
    actual = load_vae(opened(folder), device=CPU).model.state_dict()
    assert all(torch.equal(actual[name], expected[name]) for name in expected)


def test_a_pickle_that_is_more_than_tensors_is_refused_and_not_run(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "executed"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return open, (str(trace), "w")

    torch.save({"conv1.weight": Payload()}, folder / VAE, pickle_module=pickle)
    with pytest.raises(CheckpointError, match=r"Wan2\.1_VAE\.pth cannot be read as a file of tensors"):
        check_weights(opened(folder))
    assert not trace.exists()


def test_a_nested_pickle_is_refused(folder: Path) -> None:
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1)}}, folder / VAE)
    with pytest.raises(CheckpointError, match="holds more than named tensors"):
        check_weights(opened(folder))


def test_a_file_of_another_model_is_named(folder: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, folder / VAE)
    with pytest.raises(CheckpointError, match=r"Wan2\.1_VAE\.pth: it has no tensor encoder\.conv1\.weight"):
        check_weights(opened(folder))


def test_a_cut_download_is_refused_before_anything_loads(folder: Path) -> None:
    file = folder / "low_noise_model" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"download was cut short"):
        opened(folder)
    pth = folder / VAE
    pth.write_bytes(pth.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="not a whole torch file"):
        open_weights([pth])


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = materialise(RUN, tmp_path, shards=3)
    (folder / "high_noise_model" / "diffusion_pytorch_model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"diffusion_pytorch_model-00002-of-00003\.safetensors is missing"):
        opened(folder)


def test_a_config_without_its_numbers_is_refused(folder: Path) -> None:
    path = folder / "high_noise_model" / "config.json"
    content = json.loads(path.read_text())
    del content["num_heads"]
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="lacks the numbers num_heads"):
        opened(folder)


def test_a_config_of_another_size_is_refused(folder: Path) -> None:
    path = folder / "high_noise_model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ffn_dim": 256}))
    with pytest.raises(CheckpointError, match=r"has the shape \(128.*where the model needs \(256"):
        check_weights(opened(folder))


def test_the_text_tower_of_clip_is_not_read(tmp_path: Path) -> None:
    run = "wan21_i2v_unipc"
    folder = materialise(run, tmp_path)
    (file,) = folder.glob("models_clip*.pth")
    surplus = {"textual.token_embedding.weight": torch.zeros(2, 2), "log_scale": torch.zeros([])}
    torch.save(dict(tensors("weights_clip_visual")) | surplus, file)
    check_weights(open_checkpoint(RUNS[run].config, folder))


def test_diffusers_files_of_older_libraries_load(tmp_path: Path) -> None:
    run = "wan21_i2v_unipc"
    folder = materialise(run, tmp_path, layout="diffusers")
    image_file = folder / "image_encoder" / "model.safetensors"
    older: dict[str, Tensor] = {f"vision_model.{name}": tensor for name, tensor in load_file(image_file).items()}
    save_file(older | {"vision_model.embeddings.position_ids": torch.arange(17)[None]}, image_file)
    text_file = folder / "text_encoder" / "model.safetensors"
    text = load_file(text_file)
    assert "encoder.embed_tokens.weight" not in text
    save_file(text | {"encoder.embed_tokens.weight": text["shared.weight"].clone()}, text_file)
    transformer_file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(transformer_file) | {"blocks.0.attn2.norm_added_q.weight": torch.ones(32)}, transformer_file)
    check_weights(open_checkpoint(RUNS[run].config, folder))


def test_several_pickles_are_one_component(tmp_path: Path) -> None:
    weights = tensors("weights_t5")
    names = sorted(weights)
    files = [tmp_path / "a.pth", tmp_path / "b.pth"]
    for file, part in zip(files, (names[::2], names[1::2]), strict=True):
        torch.save({name: weights[name] for name in part}, file)
    read = PickledWeights(files)
    assert read.shapes.keys() == weights.keys()
    assert worst(read.read(names[1]), weights[names[1]]) == 0.0
