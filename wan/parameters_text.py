"""The settings of a run as the text ``parameters`` that A1111's web UI introduced and galleries of pictures read.

    <prompt>
    Negative prompt: <negative prompt>
    Steps: 20, Sampler: UniPC, CFG scale: 3.5, Seed: 1, Size: 832x480, Model: t2v-A14B, ..., Version: ...

Readers take the last line for the settings and look for the two words "Negative prompt" and "Steps" with a colon. So a
prompt takes one line, and where it has one of these words itself, a space stands before its colon: it cannot be read as
a setting. The prompt as it was given stands in the file's other metadata.
"""

import json
import re
from collections.abc import Mapping

import wan
from wan.job import Job, settings_record
from wan.settings import SamplingSettings
from wan.shortcuts import shortcut_label

SAMPLERS: Mapping[str, str] = {"unipc": "UniPC", "dpm++": "DPM++ 2M", "euler": "Euler"}
_KEYWORD = re.compile(r"(Negative prompt|Steps)(?=:)", re.IGNORECASE)
_PLAIN = shortcut_label({})
_NEEDS_QUOTES = re.compile(r'[,:\n"]')


def parameters_text(job: Job, *, seed: int) -> str:
    """The text of one run."""
    lines = [_one_line(job.prompt)]
    if negative := _one_line(job.negative_prompt):
        lines.append(f"Negative prompt: {negative}")
    values = ", ".join(f"{name}: {_quoted(value)}" for name, value in _values(job, seed).items())
    return "\n".join([*lines, values])


def _values(job: Job, seed: int) -> dict[str, str]:
    settings, geometry = job.settings, job.geometry
    shortcuts = shortcut_label(settings_record(settings))
    return {
        "Steps": str(settings.steps),
        "Sampler": SAMPLERS.get(settings.solver, settings.solver),
        **_scales(settings),
        "Seed": str(seed),
        "Size": f"{geometry.width}x{geometry.height}",
        "Model": job.config.name,
        "Shift": f"{settings.shift:g}",
        "Frames": str(geometry.pixel_frames),
        **({} if job.config.is_image_task else {"FPS": str(job.config.sample_fps)}),
        **({"Shortcuts": shortcuts} if shortcuts != _PLAIN else {}),
        **_loras(job),
        "Version": f"Wan2.2 Shortcut {wan.__version__}",
    }


def _loras(job: Job) -> dict[str, str]:
    """As galleries read them: the name of each file and the beginning of its SHA-256."""
    hashes = ", ".join(f"{lora.path.stem}: {lora.sha256[:12]}" for lora in job.loras)
    return {"Lora hashes": _one_line(hashes)} if hashes else {}


def _scales(settings: SamplingSettings) -> dict[str, str]:
    """The format has room for one scale: that of the low-noise expert, as ``--sample_guide_scale`` begins with it; the
    other stands behind it under a name of ours."""
    low, high = settings.low_noise_guidance_scale, settings.high_noise_guidance_scale
    has_other = settings.boundary is not None and high != low
    return {"CFG scale": f"{low:g}"} | ({"CFG scale high noise": f"{high:g}"} if has_other else {})


def _one_line(text: str) -> str:
    """Without line ends, which a model does not read either, and without the words that readers look for."""
    return _KEYWORD.sub(r"\1 ", " ".join(text.split()))


def _quoted(value: str) -> str:
    """In quotes, as JSON has them, where a comma or a colon would end the value."""
    return json.dumps(value, ensure_ascii=False) if _NEEDS_QUOTES.search(value) else value
