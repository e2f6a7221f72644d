"""The small files of the diffusers layout: what each component is, how it is configured, and how it is sampled."""

import json
from collections.abc import Mapping
from typing import Any

import diffusers
from diffusers import UniPCMultistepScheduler

from wan.configs import TaskConfig
from wan.loading.diffusers_layout import IMAGE_ENCODER, TEXT_LEN_KEY, TOKENIZER

INDEX_NAME = "model_index.json"
_IMAGE_PROCESSOR = "image_processor"
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def component_config(model: Any, *, text_len: int | None = None) -> str:
    """config.json of a diffusers or transformers model; ``text_len``: of a denoiser that was trained with another."""
    if isinstance(model, diffusers.ModelMixin):
        content: dict[str, Any] = json.loads(model.to_json_string())
    else:
        content = json.loads(model.config.to_json_string()) | {"architectures": [type(model).__name__]}
    return _as_json(content | ({} if text_len is None else {TEXT_LEN_KEY: text_len}))


def small_files(config: TaskConfig, models: Mapping[str, Any]) -> dict[str, str]:
    """Scheduler, image processor and, last, the index: name to text. ``models``: by component folder."""
    files = {"scheduler/scheduler_config.json": _scheduler(config)}
    if IMAGE_ENCODER in models:
        files[f"{_IMAGE_PROCESSOR}/preprocessor_config.json"] = _image_processor(
            models[IMAGE_ENCODER].config.image_size
        )
    return files | {INDEX_NAME: _index(config, models)}


def _index(config: TaskConfig, models: Mapping[str, Any]) -> str:
    pipeline = config.reference_pipeline
    components: dict[str, list[str | None]] = {
        name: [type(model).__module__.split(".")[0], type(model).__name__] for name, model in models.items()
    }
    components |= {
        TOKENIZER: ["transformers", "T5TokenizerFast"],
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    }
    components.setdefault("transformer_2", [None, None])
    if pipeline == "WanImageToVideoPipeline":
        has_encoder = IMAGE_ENCODER in models
        components.setdefault(IMAGE_ENCODER, [None, None])
        components[_IMAGE_PROCESSOR] = ["transformers", "CLIPImageProcessor"] if has_encoder else [None, None]
    return _as_json(
        {
            "_class_name": pipeline,
            "_diffusers_version": diffusers.__version__,
            "boundary_ratio": config.boundary,
            "expand_timesteps": config.image == "optional",
            **dict(sorted(components.items())),
        }
    )


def _scheduler(config: TaskConfig) -> str:
    scheduler = UniPCMultistepScheduler(
        num_train_timesteps=config.num_train_timesteps,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=config.sample_shift,
    )
    return scheduler.to_json_string()


def _image_processor(size: int) -> str:
    return _as_json(
        {
            "image_processor_type": "CLIPImageProcessor",
            "do_resize": True,
            "size": {"shortest_edge": size},
            "resample": 3,  # bicubic
            "do_center_crop": True,
            "crop_size": {"height": size, "width": size},
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": _CLIP_MEAN,
            "image_std": _CLIP_STD,
            "do_convert_rgb": True,
        }
    )


def _as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
