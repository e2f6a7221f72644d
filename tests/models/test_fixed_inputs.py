"""Inputs that are kept for a stage: computed once for each text and shape, never out of date, gone when it ends."""

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from tests.goldens import denoiser
from wan.models.fixed_inputs import SetUp, inputs_and_keys_kept, inputs_kept, nothing_kept

KEPT = [inputs_kept, inputs_and_keys_kept]


@pytest.fixture(scope="module")
def model() -> WanTransformer3DModel:
    return denoiser("t2v-A14B_high")


@pytest.fixture
def calls(model: WanTransformer3DModel) -> Iterator[dict[str, int]]:
    """How often the modules that the text alone goes through are called, and the rotary embedding."""
    attention = model.blocks[1].attn2
    watched = {
        "text": model.condition_embedder.text_embedder,
        "key": attention.to_k,
        "norm": attention.norm_k,
        "value": attention.to_v,
        "rope": model.rope,
    }
    counts = dict.fromkeys(watched, 0)

    def count(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            counts[name] += 1

        return hook

    handles = [module.register_forward_hook(count(name)) for name, module in watched.items()]
    yield counts
    for handle in handles:
        handle.remove()


def text(seed: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, 32, 32, generator=torch.Generator().manual_seed(seed))


def forward(model: WanTransformer3DModel, context: Tensor, *, frames: int = 3, timestep: int = 900) -> Tensor:
    batch = context.shape[0]
    latents = torch.randn(batch, 16, frames, 4, 6, generator=torch.Generator().manual_seed(timestep))
    with torch.no_grad():
        (velocity,) = model(
            hidden_states=latents,
            timestep=torch.tensor([timestep] * batch),
            encoder_hidden_states=context,
            return_dict=False,
        )
    return velocity


def test_what_the_text_becomes_is_computed_once_for_each_text(
    model: WanTransformer3DModel, calls: dict[str, int]
) -> None:
    with inputs_and_keys_kept(model):
        for timestep in (900, 700, 500):
            forward(model, text(0), timestep=timestep)  # the same content in another place
            forward(model, text(1), timestep=timestep)
    assert calls == {"text": 2, "key": 2, "norm": 2, "value": 2, "rope": 1}


def test_without_keys_only_the_projection_and_the_tables_are_kept(
    model: WanTransformer3DModel, calls: dict[str, int]
) -> None:
    with inputs_kept(model):
        for frames in (3, 2, 3):
            forward(model, text(0), frames=frames)
    assert calls == {"text": 1, "key": 3, "norm": 3, "value": 3, "rope": 2}


@pytest.mark.parametrize("keep", KEPT)
def test_texts_of_any_number_and_batch_give_the_same_bits(model: WanTransformer3DModel, keep: SetUp) -> None:
    contexts = [text(seed, batch) for seed, batch in ((0, 1), (1, 1), (2, 2), (3, 1), (0, 1), (0, 2), (4, 1), (1, 1))]
    plain = [forward(model, context, timestep=900 - i) for i, context in enumerate(contexts)]
    with keep(model):
        for i, context in enumerate(contexts):
            assert torch.equal(forward(model, context, timestep=900 - i), plain[i])


@pytest.mark.parametrize("keep", KEPT)
def test_a_text_that_is_written_over_in_place_is_a_new_text(model: WanTransformer3DModel, keep: SetUp) -> None:
    context, other = text(0), text(1)
    expected = forward(model, other)
    with keep(model):
        forward(model, context)
        context.copy_(other)
        assert torch.equal(forward(model, context), expected)


def test_a_text_is_known_by_content_where_writes_are_not_counted(model: WanTransformer3DModel) -> None:
    with torch.inference_mode():
        context, other = text(0), text(1)
        expected = forward(model, other)
        with inputs_and_keys_kept(model):
            forward(model, context)
            context.copy_(other)
            assert torch.equal(forward(model, context), expected)


def test_only_the_last_three_texts_are_remembered(model: WanTransformer3DModel, calls: dict[str, int]) -> None:
    with inputs_and_keys_kept(model):
        for seed in (0, 1, 2, 0, 3, 0, 1):
            forward(model, text(seed))
    assert calls["key"] == 5  # 0, 1, 2 and 3, and 1 again, which was the oldest when 3 came


@pytest.mark.parametrize("keep", KEPT)
def test_the_model_is_as_before_and_new_weights_meet_nothing_old(keep: SetUp) -> None:
    model = _copy_of(denoiser("t2v-A14B_high"))
    modules, names = list(model.modules()), list(model.state_dict())
    with pytest.raises(RuntimeError, match="stop"), keep(model):
        forward(model, text(0))
        raise RuntimeError("stop")
    assert list(model.modules()) == modules and list(model.state_dict()) == names
    model.load_state_dict(denoiser("t2v-A14B_low").state_dict())
    with keep(model):
        assert torch.equal(forward(model, text(0)), forward(denoiser("t2v-A14B_low"), text(0)))


@pytest.mark.parametrize("keep", KEPT)
def test_every_weight_stays_where_offloading_looks_for_it(model: WanTransformer3DModel, keep: SetUp) -> None:
    children = [*model.children(), *model.blocks]
    weights = [set(child.parameters()) for child in children]
    with keep(model):
        assert [set(child.parameters()) for child in children] == weights
        assert set(model.parameters()) == set.union(*weights, {model.scale_shift_table})


def test_weights_are_needed_in_a_forward_alone() -> None:
    """As with blocks that visit the device: outside of the forward the text embedder's weights are not at hand."""
    model = _copy_of(denoiser("t2v-A14B_high"))
    weight, inner = model.condition_embedder.text_embedder.linear_1.weight, model.forward
    real = weight.clone()

    def visited(**inputs: Any) -> Any:
        weight.copy_(real)
        result = inner(**inputs)
        weight.fill_(torch.nan)
        return result

    expected = forward(model, text(0))
    model.forward = visited
    with inputs_kept(model):
        assert torch.equal(forward(model, text(0)), expected) and torch.equal(forward(model, text(0)), expected)


def test_what_was_kept_is_freed_at_once(model: WanTransformer3DModel) -> None:
    with inputs_and_keys_kept(model):
        forward(model, text(0))
        kept = [weakref.ref(model.blocks[0].attn2.norm_k.tensor), weakref.ref(model.rope)]
        assert all(reference() is not None for reference in kept)
    assert [reference() for reference in kept] == [None, None]


def test_nothing_kept_leaves_the_model_alone(model: WanTransformer3DModel, calls: dict[str, int]) -> None:
    with nothing_kept(model):
        forward(model, text(0))
        forward(model, text(0))
    assert set(calls.values()) == {2}


def _copy_of(model: WanTransformer3DModel) -> WanTransformer3DModel:
    copy: nn.Module = type(model).from_config(model.config)
    copy.load_state_dict(model.state_dict())
    return copy.eval().requires_grad_(False)
