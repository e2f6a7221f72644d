"""Task configurations: one YAML file per ``--task``, read into a frozen ``TaskConfig`` under the official names.

The YAML files live inside the package, so that an installed wheel finds them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import yaml

_SIZE = re.compile(r"\s*([0-9]{1,9})\s*[*xX\u00d7]\s*([0-9]{1,9})\s*")
CONFIG_DIR = Path(__file__).parent


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskConfig:
    """What a task needs before its checkpoint is opened; ``sample_*`` and ``vae_stride`` keep their official names.

    ``sample_guide_scale`` is (low noise, high noise) for two experts, one number for one.
    ``boundary`` is the fraction of ``num_train_timesteps`` from which the high-noise expert works; None: one expert.
    ``image``: none, needed or optional; ``size_rule``: how an image's aspect becomes a size (``sampling.image_size``).
    ``has_image_encoder``: CLIP features of the image join the text (Wan2.1 image to video).
    ``shift_by_size``: official shifts of single sizes; ``recommended_guide_scale``: what the model's makers advise
    where it is not the default. ``reference_pipeline``: the diffusers pipeline of the same model.
    ``preview``: whose colours a preview of the latents has (``wan.preview_colours``); None: nobody's are known.
    """

    name: str
    entry: str
    frame_num: int
    sample_fps: int
    sample_steps: int
    sample_shift: float
    sample_guide_scale: float | tuple[float, float]
    sample_neg_prompt: str
    boundary: float | None
    image: Literal["none", "needed", "optional"]
    size_rule: str
    has_image_encoder: bool
    reference_pipeline: str
    num_train_timesteps: int
    text_len: int
    param_dtype: str
    vae_stride: tuple[int, int, int]
    patch_size: tuple[int, int, int]
    latent_channels: int
    in_channels: int
    dim: int
    ffn_dim: int
    num_heads: int
    num_layers: int
    text_dim: int
    default_size: str
    supported_sizes: tuple[str, ...]
    example_prompt: str
    bundled_checkpoint: str | None
    recommended_guide_scale: float | None
    preview: str | None
    shift_by_size: Mapping[str, float] = field(default_factory=dict)
    repositories: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_two_experts(self) -> bool:
        return self.boundary is not None

    def shift_for(self, size: str) -> float:
        """The official shift at a size 'W*H'."""
        return self.shift_by_size.get(size, self.sample_shift)

    @property
    def is_image_task(self) -> bool:
        """One frame out, saved as a picture (t2i)."""
        return self.frame_num == 1

    @property
    def size_multiple(self) -> tuple[int, int]:
        """(width, height) multiples that VAE stride and patch size allow: 16 or 32 pixels."""
        return self.vae_stride[2] * self.patch_size[2], self.vae_stride[1] * self.patch_size[1]


def load_config(path: Path) -> TaskConfig:
    """Read one task file over ``common.yaml``; an unknown or missing key is a ``TypeError`` naming it."""
    values: dict[str, Any] = _read_yaml(CONFIG_DIR / "common.yaml") | _read_yaml(path)
    for key, value in values.items():
        if isinstance(value, list):
            values[key] = tuple(value)
        elif isinstance(value, dict):
            values[key] = MappingProxyType(value)
    return TaskConfig(name=path.stem, **values)


def parse_size(size: str) -> tuple[int, int]:
    """'W*H' or 'WxH' to (width, height) in pixels; ValueError when it is not of that form."""
    match = _SIZE.fullmatch(size)
    if match is None:
        raise ValueError(f"--size {size!r} is not of the form W*H, for example '832*480' or 832x480")
    return int(match[1]), int(match[2])


def _read_yaml(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _load_all() -> dict[str, TaskConfig]:
    paths = (path for path in CONFIG_DIR.glob("*.yaml") if path.stem != "common")
    return {path.stem: load_config(path) for path in sorted(paths)}


WAN_CONFIGS: Mapping[str, TaskConfig] = MappingProxyType(_load_all())
SUPPORTED_SIZES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: config.supported_sizes for name, config in WAN_CONFIGS.items()}
)
SIZE_CONFIGS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {size: parse_size(size) for sizes in SUPPORTED_SIZES.values() for size in sizes}
)
MAX_AREA_CONFIGS: Mapping[str, int] = MappingProxyType({size: w * h for size, (w, h) in SIZE_CONFIGS.items()})
