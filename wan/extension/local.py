"""A chat model of transformers on this machine: loaded, asked once, and released before anything else is loaded."""

import gc
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
)
from transformers.utils import logging as transformers_logging

from wan.errors import ExtensionFailed, InvalidInput, WanError
from wan.extension.instructions import asked, instructions
from wan.extension.local_files import WANTED_FILES, check_local_model, is_vision_model
from wan.extension.task import ExtensionTask
from wan.loading.files import read_json
from wan.models.devices import explained_out_of_memory, pick_device
from wan.untrusted.refusal import MALFORMED, reason_of

MAX_NEW_TOKENS = 512
_TEMPERATURE, _TOP_P = 0.7, 0.9
_IMAGE_TOKEN = "<|image_pad|>"
_SAFE = {"trust_remote_code": False, "local_files_only": True}
# safetensors alone, and an attention that no config.json chooses
_SAFE_MODEL = _SAFE | {"use_safetensors": True, "attn_implementation": "sdpa"}


def ask(task: ExtensionTask, *, seed: int, device: str | None) -> str:
    """The model's answer as it is. The same seed gives the same answer on the same machine.

    ``ExtensionFailed`` when the model cannot be loaded or asked; its memory is free again either way.
    """
    on = pick_device(device)
    folder = _folder(task)
    try:
        with explained_out_of_memory():
            return _answer(folder, task, seed=seed, device=on)
    except WanError:
        raise
    except MALFORMED as error:
        raise ExtensionFailed(f"the model in {folder} cannot be used ({reason_of(error)})") from error
    finally:
        _release(on)


def _folder(task: ExtensionTask) -> Path:
    """The model's folder, downloaded where it is not here yet."""
    assert task.local is not None
    if task.local.folder is not None:
        return task.local.folder
    import huggingface_hub
    from huggingface_hub import errors

    try:
        folder = Path(huggingface_hub.snapshot_download(task.model, allow_patterns=list(WANTED_FILES)))
    except errors.RepositoryNotFoundError:
        raise InvalidInput(
            f"--prompt_extend_model {task.model} is neither a folder here nor a public model on Hugging Face; check it"
        ) from None
    except (errors.HfHubHTTPError, OSError, RuntimeError) as error:
        raise ExtensionFailed(f"{task.model} cannot be downloaded ({reason_of(error)}); try again") from None
    check_local_model(folder, sees=task.kind == "i2v")
    return folder


def _answer(folder: Path, task: ExtensionTask, *, seed: int, device: torch.device) -> str:
    transformers_logging.disable_progress_bar()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, **_SAFE)
    kind = AutoModelForImageTextToText if is_vision_model(read_json(folder / "config.json")) else AutoModelForCausalLM
    model: Any = kind.from_pretrained(folder, dtype="auto", **_SAFE_MODEL).to(device).eval()
    inputs = _inputs(folder, task, tokenizer)
    length = inputs["input_ids"].shape[1]
    on_device = {name: value.to(device) for name, value in inputs.items()}
    # transformers samples from the global generator: it is seeded for this call, and put back as it was
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.inference_mode():
        torch.manual_seed(seed)
        made: Tensor = model.generate(
            **on_device,
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=True,
            temperature=_TEMPERATURE,
            top_p=_TOP_P,
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
        )
    if length + MAX_NEW_TOKENS == made.shape[1] and int(made[0, -1]) not in _ends(model, tokenizer):
        raise ExtensionFailed(f"the answer of {task.model} did not come to an end within {MAX_NEW_TOKENS} tokens")
    answer: str = tokenizer.decode(made[0, length:], skip_special_tokens=True)
    return answer


def _ends(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end an answer."""
    known = model.generation_config.eos_token_id
    return {*(known if isinstance(known, list) else [known]), tokenizer.eos_token_id} - {None}


def _inputs(folder: Path, task: ExtensionTask, tokenizer: Any) -> dict[str, Tensor]:
    """Token ids (1, N) of the conversation, and the pixels of the picture where there is one.

    Tokenizer and image processor are used by themselves: the processor that joins them also has a part for videos,
    which needs torchvision.
    """
    # a prompt that holds a control word of the template must not end its own message
    text = asked(task.prompt.replace("<|", "< |"), task.language)
    said: Any = text if task.picture is None else [{"type": "image"}, {"type": "text", "text": text}]
    messages = [
        {"role": "system", "content": instructions(task.kind, task.language)},
        {"role": "user", "content": said},
    ]
    # a model that can think is asked not to; templates that do not know the word ignore it
    written = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    if task.picture is None:
        encoded: Any = tokenizer(written, add_special_tokens=False, return_tensors="pt")
        return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}
    processor: Any = AutoImageProcessor.from_pretrained(folder, backend="pil", **_SAFE)
    pixels: Any = processor(images=[task.picture], return_tensors="pt")
    if written.count(_IMAGE_TOKEN) != 1 or "image_grid_thw" not in pixels:
        raise ExtensionFailed(f"the model in {folder} takes pictures in another way than Qwen's; give one of Qwen's")
    # the place of the picture becomes as many tokens as the network makes of its patches
    places = int(pixels["image_grid_thw"][0].prod()) // processor.merge_size**2
    encoded = tokenizer(
        written.replace(_IMAGE_TOKEN, _IMAGE_TOKEN * places), add_special_tokens=False, return_tensors="pt"
    )
    ids = encoded["input_ids"]
    is_image = (ids == tokenizer.convert_tokens_to_ids(_IMAGE_TOKEN)).to(ids.dtype)
    return {
        "input_ids": ids,
        "attention_mask": encoded["attention_mask"],
        "pixel_values": pixels["pixel_values"],
        "image_grid_thw": pixels["image_grid_thw"],
        "mm_token_type_ids": is_image,
    }


def _release(device: torch.device) -> None:
    """Give the memory back: cycles inside a model keep it until they are collected."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
