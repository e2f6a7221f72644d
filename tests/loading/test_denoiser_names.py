"""Both names of every part of a denoiser: the same table as diffusers' conversion, and found under any spelling."""

import pytest

from tests.goldens import DATA
from wan.loading.denoiser_names import PartNames, parameter_name
from wan.loading.headers import read_shapes
from wan.loading.official_keys import denoiser_key_map

OFFICIAL = sorted(DATA.glob("weights_dit_*.safetensors"))


@pytest.mark.parametrize("file", OFFICIAL, ids=lambda file: file.stem)
def test_the_names_are_those_of_diffusers_own_conversion(file: object) -> None:
    for ours, source in denoiser_key_map(read_shapes(file)).items():  # type: ignore[arg-type]
        assert parameter_name(source.name) == ours
        assert parameter_name(ours) == ours


@pytest.mark.parametrize("file", OFFICIAL, ids=lambda file: file.stem)
def test_a_part_is_found_by_dots_and_by_underscores(file: object) -> None:
    key_map = denoiser_key_map(read_shapes(file))  # type: ignore[arg-type]
    names = PartNames(key_map)
    for ours, source in key_map.items():
        if not ours.endswith(".weight"):
            continue
        for module in (ours.removesuffix(".weight"), source.name.removesuffix(".weight")):
            assert names.parameter(module, ".weight") == ours
            assert names.parameter(module.replace(".", "_"), ".weight") == ours


def test_what_a_model_does_not_have_is_not_found() -> None:
    names = PartNames(["blocks.0.attn1.to_q.weight"])
    assert names.parameter("blocks.1.self_attn.q", ".weight") is None
    assert names.parameter("blocks.0.self_attn.q", ".bias") is None
    assert names.parameter("blocks_0_self_attn_k", ".weight") is None
