"""Official names to model parameters: nothing left over, nothing missing, and the right tensor at each place."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.goldens import CPU, RUNS, materialise, tensors
from wan.errors import CheckpointError
from wan.loading import official_models
from wan.loading.component import Component
from wan.loading.files import experts_of
from wan.loading.layouts import Checkpoint, open_checkpoint
from wan.loading.models import check_weights
from wan.loading.official_keys import Source, key_map_by_rules, tie


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checkpoint]:
    folders: dict[str, Path] = {}

    def opened(run: str) -> Checkpoint:
        if run not in folders:
            folders[run] = materialise(run, tmp_path_factory.mktemp(run))
        return open_checkpoint(RUNS[run].config, folders[run])

    return opened


def components_in(checkpoint: Checkpoint) -> list[Component[nn.Module]]:
    components = [official_models.vae(checkpoint), official_models.text_encoder(checkpoint)]
    if checkpoint.config.has_image_encoder:
        components.append(official_models.image_encoder(checkpoint))
    return [*(official_models.denoiser(checkpoint, expert) for expert in experts_of(checkpoint.config)), *components]


@pytest.mark.parametrize("run", RUNS)
def test_every_parameter_has_a_tensor_and_every_tensor_a_parameter(
    checkpoints: Callable[[str], Checkpoint], run: str
) -> None:
    checkpoint = checkpoints(run)
    check_weights(checkpoint)
    for component in components_in(checkpoint):
        used = {source.name for source in component.key_map.values()}
        unused = component.weights.shapes.keys() - used
        assert unused <= {"visual.head"}, component.place
        model = component.build(dtype=torch.float32, device=CPU)
        assert component.key_map.keys() == model.state_dict().keys()
        assert not any(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])


def test_joint_projections_are_split_in_order(checkpoints: Callable[[str], Checkpoint]) -> None:
    model = official_models.image_encoder(checkpoints("wan21_i2v_unipc")).build(dtype=torch.float32, device=CPU)
    joint = tensors("weights_clip_visual")["visual.transformer.1.attn.to_qkv.weight"].float()
    attention = model.encoder.layers[1].self_attn
    parts = [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
    assert torch.equal(torch.cat(parts), joint)


def test_unused_names_are_left_out_and_unknown_ones_kept() -> None:
    key_map = key_map_by_rules(["a.x", "text.y", "b"], [(r"^a\.", "c.")], unused=r"^text\.")
    assert key_map == {"c.x": Source("a.x"), "b": Source("b")}


def test_a_tied_name_takes_its_twin_unless_it_is_stored() -> None:
    twin = {"shared": Source("w")}
    assert tie(twin, {"copy": "shared"}) == {"shared": Source("w"), "copy": Source("w")}
    stored = twin | {"copy": Source("own")}
    assert tie(stored, {"copy": "shared"}) == stored
    assert tie({}, {"copy": "shared"}) == {}


@pytest.fixture
def denoiser(checkpoints: Callable[[str], Checkpoint]) -> Component[nn.Module]:
    checkpoint = checkpoints("wan21_t2v_unipc")
    return official_models.denoiser(checkpoint, experts_of(checkpoint.config)[0])


def test_a_missing_tensor_is_named(denoiser: Component[nn.Module]) -> None:
    key_map = {name: source for name, source in denoiser.key_map.items() if name != "proj_out.bias"}
    with pytest.raises(CheckpointError, match=r"missing proj_out\.bias; unknown nothing"):
        replace(denoiser, key_map=key_map).check()


def test_an_unknown_tensor_is_named(denoiser: Component[nn.Module]) -> None:
    with pytest.raises(CheckpointError, match=r"missing nothing; unknown lora\.up"):
        replace(denoiser, key_map={**denoiser.key_map, "lora": Source("lora.up")}).check()


def test_a_tensor_of_another_shape_is_named(denoiser: Component[nn.Module]) -> None:
    key_map = {**denoiser.key_map, "proj_out.bias": Source("head.head.weight")}
    with pytest.raises(CheckpointError, match=r"head\.head\.weight has the shape \(64, 64\) .* needs \(64,\)"):
        replace(denoiser, key_map=key_map).check()
