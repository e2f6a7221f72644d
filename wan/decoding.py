"""A video from latents that are on disk: of a finished run, or the estimate of one that was stopped."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wan.configs import WAN_CONFIGS, TaskConfig
from wan.errors import InvalidInput
from wan.loading.files import experts_of
from wan.loading.layouts import find_checkpoint_dir, open_checkpoint
from wan.loading.models import load_vae
from wan.models.devices import explained_out_of_memory, pick_device
from wan.request_checks import refuse_result_file
from wan.runs import IMAGE_NAME, LATENTS_NAME, VIDEO_NAME, load_record
from wan.runs.debug_latents import load_debug_step
from wan.runs.latents import DENOISED_KEY, LATENTS_KEY, PARTIAL_LATENTS_NAME, load_latents
from wan.runs.record import FILE_KEYS
from wan.runs.state_file import STATE_NAME, load_state
from wan.runs.video import save_pieces
from wan.untrusted.refusal import Refused
from wan.untrusted.safetensors_header import read_header


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Latents (C, F, h, w) to decode; ``step`` of a run that is not at its end; ``about``: task, prompt, seed, command
    and checkpoint, as far as the files say."""

    latents: Tensor
    source: Path
    step: int | None
    about: Mapping[str, Any]


def find_latents(path: Path) -> Found:
    """What there is to decode in a run folder, or in one file of latents (latents, partial latents, resume file, debug
    step); ``InvalidInput`` when there is nothing."""
    if path.is_dir():
        return _of_run(path)
    if not path.is_file():
        raise InvalidInput(f"{path} does not exist; give a run folder, or a file of latents")
    if path.suffix == ".pt":
        step = load_debug_step(path)
        return Found(latents=step.x0_pred, source=path, step=step.step, about=_about_run(path.parent))
    if path.name == STATE_NAME:
        return _of_state(path)
    return _of_file(path)


def decode_to_file(
    found: Found,
    *,
    task: str | None,
    ckpt_dir: Path | None,
    save_file: Path | None,
    device: str | None,
    tiling: bool,
    overwrite: bool,
) -> Path:
    """Decode with the VAE of the checkpoint that made the latents, or of ``ckpt_dir``; the file that was written."""
    config = _config(found, task)
    path = save_file or _file_name(found, config)
    refuse_result_file(path, config, overwrite=overwrite)
    recorded = found.about.get("checkpoint")
    named = ckpt_dir or (Path(recorded) if recorded else None)
    folder = find_checkpoint_dir(config, named)
    # no denoiser is read, so that their weights may be elsewhere
    checkpoint = open_checkpoint(config, folder, replaced=tuple((expert, folder) for expert in experts_of(config)))
    channels = config.latent_channels
    if found.latents.ndim != 4 or found.latents.shape[0] != channels:
        raise InvalidInput(
            f"{found.source} holds a tensor of shape {tuple(found.latents.shape)}, and the latents of {config.name} "
            f"are ({channels}, frames, height, width); give --task, the one that made them"
        )
    on = pick_device(device)
    metadata = {name: str(found.about[name]) for name in FILE_KEYS if name in found.about}
    with explained_out_of_memory():
        pieces = load_vae(checkpoint, device=on, tiling=tiling).frames(found.latents.to(on))
        save_pieces(path, pieces, is_image=config.is_image_task, fps=config.sample_fps, metadata=metadata)
    return path


def _of_run(folder: Path) -> Found:
    """The best there is: the latents of the end, else the estimate of the last step."""
    if (folder / LATENTS_NAME).is_file():
        return _of_file(folder / LATENTS_NAME)
    if (folder / STATE_NAME).is_file():
        return _of_state(folder / STATE_NAME)
    if (folder / PARTIAL_LATENTS_NAME).is_file():
        return _of_file(folder / PARTIAL_LATENTS_NAME)
    load_record(folder)  # says that it is no run folder, where it is none
    raise InvalidInput(f"{folder} has no latents: the run was stopped before its first step ended; --resume makes it")


def _of_file(path: Path) -> Found:
    try:
        header = read_header(path)
    except Refused as error:
        raise InvalidInput(f"{path} is not the latents of a run: {error}; give those of a run folder") from error
    latents = load_latents(path, key=DENOISED_KEY if DENOISED_KEY in header.tensors else LATENTS_KEY)
    about = _about_run(path.parent) | {name: header.metadata[name] for name in FILE_KEYS if name in header.metadata}
    return Found(latents=latents, source=path, step=_step(header.metadata), about=about)


def _of_state(path: Path) -> Found:
    state = load_state(path, device=torch.device("cpu"))
    try:
        latents, step = state["denoised"][0].float(), int(state["steps_done"])
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InvalidInput(f"{path} is no resume file of a run ({error!r}); give a run folder") from None
    return Found(latents=latents, source=path, step=step, about=_about_run(path.parent))


def _step(header: Mapping[str, str]) -> int | None:
    text = header.get("step", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _about_run(folder: Path) -> dict[str, Any]:
    """What ``run.json`` beside the latents says; nothing where there is none."""
    if not (folder / "run.json").is_file():
        return {}
    record = load_record(folder)
    checkpoint = record.get("checkpoint")
    path = checkpoint.get("path") if isinstance(checkpoint, dict) else None
    return {name: record[name] for name in FILE_KEYS if name in record} | ({"checkpoint": path} if path else {})


def _config(found: Found, task: str | None) -> TaskConfig:
    name = task or found.about.get("task")
    if not isinstance(name, str) or name not in WAN_CONFIGS:
        raise InvalidInput(f"{found.source} does not say which task made it; give --task ({', '.join(WAN_CONFIGS)})")
    return WAN_CONFIGS[name]


def _file_name(found: Found, config: TaskConfig) -> Path:
    whole = IMAGE_NAME if config.is_image_task else VIDEO_NAME
    suffix = Path(whole).suffix
    if found.step is not None:
        return found.source.parent / f"after_step_{found.step:02d}{suffix}"
    if found.source.name == LATENTS_NAME:
        return found.source.parent / whole
    return found.source.with_suffix(suffix)
