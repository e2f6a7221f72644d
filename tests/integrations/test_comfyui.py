"""The node pack for ComfyUI, run without ComfyUI: its nodes make what `generate` makes, and offer its choices."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from tests.test_resume import latents as latents_of
from tests.test_resume import made
from wan.budgets import PRESETS
from wan.errors import InvalidInput
from wan.flags import _KEY
from wan.machine import Machine
from wan.request import Request
from wan.runs.video import read_video
from wan.shortcuts import Shortcuts

FOLDER = Path(__file__).parents[2] / "integrations" / "comfyui"
PROMPT = "a red circle moving right on a blue background"
SMALL = {"frame_num": 5, "sample_steps": 2}


@pytest.fixture(scope="module")
def pack() -> Iterator[ModuleType]:
    """As ComfyUI imports a folder of custom nodes."""
    spec = importlib.util.spec_from_file_location("custom_nodes_wan22", FOLDER / "__init__.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    for name in [name for name in sys.modules if name.startswith("custom_nodes_wan22")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def loaded(pack: ModuleType) -> Any:
    return run(pack, "WanShortcutLoad", task="t2v-demo", ckpt_dir="", device="cpu")


def run(pack: ModuleType, name: str, **inputs: Any) -> Any:
    """What ComfyUI does with a node: the inputs by name to the method that FUNCTION names; one output of each type."""
    node = pack.NODE_CLASS_MAPPINGS[name]()
    (output,) = getattr(node, node.FUNCTION)(**inputs)
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES) == 1
    return output


def test_the_nodes_make_what_the_command_makes(pack: ModuleType, loaded: Any, tmp_path: Path) -> None:
    flags = ["--task", "t2v-demo", "--prompt", PROMPT, "--base_seed", "3", "--frame_num", "5", "--sample_steps", "2"]
    folder = made([*flags, "--cfg_truncate_high_noise_steps", "1", "--device", "cpu"], tmp_path)
    sampled = run(
        pack,
        "WanShortcutSample",
        session=loaded,
        prompt=PROMPT,
        seed=3,
        **SMALL,
        negative_prompt="",
        size="",
        budget=0.0,
        preset="",
        flags="--cfg_truncate_high_noise_steps 1",
    )
    assert torch.equal(sampled.latents, latents_of(folder))
    images = run(pack, "WanShortcutDecode", latents=sampled)
    assert images.shape == (5, 64, 64, 3) and images.dtype == torch.float32
    assert images.min() >= 0.0 and images.max() <= 1.0
    written = torch.from_numpy(read_video(folder / "video.mp4")) / 255
    assert (images - written).abs().mean() < 0.02  # but for the coding of the mp4


def test_a_negative_prompt_is_that_of_its_run(pack: ModuleType, loaded: Any) -> None:
    one, other, again = (
        run(pack, "WanShortcutSample", session=loaded, prompt=PROMPT, seed=3, **SMALL, negative_prompt=text).latents
        for text in ("", "a blue square", "")
    )
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_what_belongs_to_the_other_node_is_refused(pack: ModuleType, loaded: Any) -> None:
    with pytest.raises(InvalidInput, match="sets machine, which this node does not have: give it to the node that"):
        run(pack, "WanShortcutSample", session=loaded, prompt="x", seed=0, flags="--vae_tiling")
    with pytest.raises(
        InvalidInput, match=r"sets sample_steps, which this node does not have: .* the node that samples"
    ):
        run(pack, "WanShortcutLoad", task="t2v-demo", ckpt_dir="", flags="--sample_steps 3")
    with pytest.raises(InvalidInput, match=r"--budget 2\b"):
        run(pack, "WanShortcutSample", session=loaded, prompt="x", seed=0, budget=2.0)


def test_every_input_is_a_field_of_a_request_with_its_choices(pack: ModuleType) -> None:
    fields = {
        one.name: one.metadata[_KEY]
        for cls in (Request, Machine, Shortcuts)
        for one in cls.__dataclass_fields__.values()
        if _KEY in one.metadata
    }
    own = {"session", "latents", "flags"}
    for node in pack.NODE_CLASS_MAPPINGS.values():
        inputs = node.INPUT_TYPES()
        assert set(inputs) <= {"required", "optional"}
        for name, (kind, *_) in [pair for group in inputs.values() for pair in group.items()]:
            if name in own:
                continue
            assert name in fields, f"{node.__name__}: {name} is no field of a request"
            if isinstance(kind, list):
                known = list(PRESETS) if name == "preset" else list(fields[name].choices)
                assert [choice for choice in kind if choice] == known
    names = set(pack.NODE_CLASS_MAPPINGS)
    assert names == set(pack.NODE_DISPLAY_NAME_MAPPINGS)


def test_every_input_of_a_node_is_a_parameter_that_its_method_takes(pack: ModuleType) -> None:
    types = {kind for node in pack.NODE_CLASS_MAPPINGS.values() for kind in node.RETURN_TYPES}
    assert types == {"WAN_SESSION", "WAN_LATENTS", "IMAGE"}
    for node in pack.NODE_CLASS_MAPPINGS.values():
        assert callable(getattr(node, node.FUNCTION)) and node.CATEGORY == "Wan2.2 Shortcut"
