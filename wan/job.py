"""A request made ready: completed with its task's defaults, checked, and planned, before any weight is read."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan.configs import WAN_CONFIGS, TaskConfig, parse_size
from wan.device_kind import device_kind, refuse_machine
from wan.errors import InvalidInput
from wan.extension.task import ExtensionTask, extension_task
from wan.image_input import Picture, image_path, open_picture
from wan.job_weights import checked_weights, stored_as, weights_record
from wan.limits import seed_notice
from wan.loading.denoiser_files import Replaced
from wan.loading.layouts import (
    Checkpoint,
    find_checkpoint_dir,
    known_checkpoint_dir,
    open_checkpoint,
    served_tasks,
)
from wan.loading.lora_files import LoraFile, lora_notices, refuse_misfits
from wan.loading.prompt_length import cut_notices
from wan.memory import refuse_large_language_model, refuse_prefetch, refuse_too_little_memory, text_bytes
from wan.parallel.sharing import NOTHING, refuse_few_tokens, refuse_heads, refuse_sharing, sharing_of
from wan.planning.choose import plan_run
from wan.preview_colours import preview_colours
from wan.prompt_extension import Extension
from wan.request import DEFAULT_OUTPUT_DIR, Request
from wan.request_checks import check_save_file, checked_request
from wan.sampling.cache_settings import COMPILED_CACHE
from wan.sampling.geometry import Geometry, geometry_for
from wan.sampling.image_size import image_geometry
from wan.sampling.plan import Plan
from wan.settings import SamplingSettings, settings_from
from wan.shortcuts import shortcut_notices

if TYPE_CHECKING:
    from PIL.Image import Image

OFFICIAL_TASK = "t2v-A14B"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a run works from. ``request`` names its task and its prompt; ``picture`` is opened once, and handed down.

    ``extending``: how the prompt is to be extended before the run. Once it is, ``extension`` says what came out, and
    ``asked`` is the request as it was before. ``loras``: the files that change its denoisers;
    ``replaced``: those that stand in the place of their weights.
    """

    request: Request
    config: TaskConfig
    geometry: Geometry
    settings: SamplingSettings
    plan: Plan
    picture: Picture | None
    notices: tuple[str, ...]
    extending: ExtensionTask | None = None
    extension: Extension | None = None
    asked: Request | None = None
    loras: tuple[LoraFile, ...] = ()
    replaced: Replaced = ()

    @property
    def image(self) -> "Image | None":
        """In RGB, as a viewer shows it."""
        return self.picture.image if self.picture else None

    @property
    def prompt(self) -> str:
        assert self.request.prompt is not None
        return self.request.prompt

    @property
    def given_prompt(self) -> str:
        """The prompt before it was extended."""
        return self.prompt if self.extension is None else self.extension.original

    @property
    def negative_prompt(self) -> str:
        return self.request.negative_prompt or self.config.sample_neg_prompt

    @property
    def debug_output_dir(self) -> Path:
        return self.request.debug_output_dir or self.request.output_dir / "debug_outputs"

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says of the settings."""
        sharing = sharing_of(self.request.machine)
        return {
            **settings_record(self.settings),
            "image": str(self.request.image) if self.request.image else None,
            "image_sha256": self.picture.sha256 if self.picture else None,
            "size": [self.geometry.width, self.geometry.height],
            "frame_num": self.geometry.pixel_frames,
            "fps": self.config.sample_fps,
            "dtype": self.request.machine.dtype or self.config.param_dtype,
            "batch_cfg": self.request.machine.batch_cfg,
            "compile": self.request.machine.compile,
            **({} if sharing == NOTHING else {"several_gpus": sharing.flags()}),
            **weights_record(self.request.weights, self.loras, self.replaced),
        }


def settings_record(settings: SamplingSettings) -> dict[str, Any]:
    """The settings as plain values."""
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


def prepare(
    request: Request, *, default_task: str = OFFICIAL_TASK, needs_image: bool = True, picture: Picture | None = None
) -> Job:
    """Complete, check and plan a request; ``InvalidInput`` for what cannot be made. Reads no weight.

    ``default_task`` is for a request that names neither a task nor a checkpoint folder. ``needs_image`` False plans
    an image task without its image. ``picture`` is the request's, when the caller has opened it before.
    """
    notices: list[str] = []
    request = checked_request(request)
    config = WAN_CONFIGS[_task(request, default_task, notices)]
    refuse_machine(request.machine, config)
    refuse_sharing(request.machine)
    path = image_path(config, request.image, is_needed=needs_image)
    opened = picture if picture is not None or path is None else open_picture(path)
    notices += opened.notices if opened else ()
    geometry = _geometry(request, config, opened.image if opened else None, notices)
    check_save_file(request, config)
    if request.preview:
        preview_colours(config)  # refuses a task that has none
    if request.prompt is None:
        notices.append(f"no --prompt given, using the example prompt: {config.example_prompt!r}")
    prompt = config.example_prompt if request.prompt is None else request.prompt
    extending = _extending(request, config, prompt, opened, notices)
    settings = _settings(request, config, notices, has_image=path is not None)
    folder = known_checkpoint_dir(config, request.ckpt_dir)
    loras, replaced = checked_weights(request, config, folder)
    plan = plan_run(config, settings, geometry, ckpt_dir=folder)
    fewest = min(geometry.tokens(step.latent_frames) for step in plan.steps)
    refuse_few_tokens(sharing_of(request.machine), tokens=fewest)
    if request.machine.compile and plan.cache is not None and plan.cache.is_in_network:
        raise InvalidInput(COMPILED_CACHE.format(f"--cache {plan.cache.name}"))
    notices += shortcut_notices(settings)
    notices += lora_notices(loras, settings)
    if device_kind(request.machine.device) != "cuda" and (said := seed_notice(request.seed, name="--base_seed")):
        notices.append(said)
    return Job(
        request=replace(request, task=config.name, prompt=prompt),
        config=config,
        geometry=geometry,
        settings=settings,
        plan=plan,
        picture=opened,
        notices=(*notices, *plan.notices, *([plan.expectation] if plan.expectation else [])),
        extending=extending,
        loras=loras,
        replaced=replaced,
    )


def vary(job: Job, **changes: Any) -> Job:
    """The same job with some fields of its request changed, as a method of a comparison is; its image stays open."""
    return prepare(replace(job.request, **changes), picture=job.picture, needs_image=False)


def rerun(job: Job, *, enable_debug: bool | None = None) -> Request:
    """The request that makes a job's video again by itself, in the folders that ``generate`` uses by default."""
    plain: Mapping[str, Any] = {"output_dir": DEFAULT_OUTPUT_DIR, "save_file": None, "overwrite": False}
    debug = job.request.enable_debug if enable_debug is None else enable_debug
    return replace(job.request, **plain, enable_debug=debug, debug_output_dir=None, debug_dtype=None)


def open_job_checkpoint(job: Job) -> Checkpoint:
    """The checkpoint that a job runs on, checked; ``CheckpointError`` says what is wrong with it, ``InvalidInput`` that
    this machine's memory cannot hold it."""
    folder = find_checkpoint_dir(job.config, job.request.ckpt_dir)
    checkpoint = open_checkpoint(job.config, folder, replaced=job.replaced)
    machine = job.request.machine
    refuse_heads(sharing_of(machine), heads=checkpoint.denoiser_size.num_heads)
    quantize = stored_as(job.request.weights, job.replaced)
    refuse_prefetch(job.config, checkpoint.denoiser_size, machine, quantize=quantize)
    refuse_misfits(job.loras, checkpoint)
    text = 0 if machine.text_cache else text_bytes(checkpoint.path)
    refuse_too_little_memory(
        job.config, checkpoint.denoiser_size, job.geometry, machine=machine, text=text, quantize=quantize
    )
    return checkpoint


def cut_texts(job: Job, checkpoint: Checkpoint) -> list[str]:
    """A notice for each of the job's texts that is longer than the checkpoint's model reads."""
    return cut_notices(checkpoint, {"--prompt": job.prompt, "--negative_prompt": job.negative_prompt})


def _task(request: Request, default: str, notices: list[str]) -> str:
    if request.task is not None:
        return request.task
    if request.ckpt_dir is None:
        return default
    tasks = served_tasks(request.ckpt_dir)
    if not tasks:
        raise InvalidInput(
            f"--ckpt_dir {request.ckpt_dir} does not tell which task it serves, it describes no denoiser that a task "
            "here runs; give the folder of a checkpoint, or --task to learn what is missing"
        )
    others = f" (or {', '.join(tasks[1:])}: give --task)" if len(tasks) > 1 else ""
    notices.append(f"no --task given: {request.ckpt_dir} serves {tasks[0]}{others}")
    return tasks[0]


def _extending(
    request: Request, config: TaskConfig, prompt: str, picture: Picture | None, notices: list[str]
) -> ExtensionTask | None:
    """How the prompt is extended before the run, checked; None where that is not asked for."""
    if not request.extension.use_prompt_extend:
        return None
    if config.bundled_checkpoint:
        notices.append(
            "an extended prompt is of no use to the demo model, which knows few words and ignores all others "
            "(--list_vocabulary)"
        )
    task = extension_task(
        request.extension,
        prompt=prompt,
        is_image_task=config.is_image_task,
        picture=picture.image if picture else None,
        needs_picture=config.image == "needed",
    )
    if task.local:
        refuse_large_language_model(task.local.weight_bytes, request.machine)
    return task


def _geometry(request: Request, config: TaskConfig, image: "Image | None", notices: list[str]) -> Geometry:
    size = request.size or parse_size(config.default_size)
    asked = config.frame_num if request.frame_num is None else request.frame_num
    if image is not None:
        area = size[0] * size[1]
        geometry = image_geometry(config, image_size=image.size, max_area=area, frame_num=asked)
        notices.append(f"the video is {geometry.width}*{geometry.height}: the image's aspect, the area of --size")
    else:
        geometry = geometry_for(config, size=size, frame_num=asked)
    if geometry.pixel_frames == 1 and not config.is_image_task:
        notices.append(f"--frame_num 1 makes a video of one frame; {config.name} was made for {config.frame_num}")
    if geometry.pixel_frames != asked:
        form = "1" if config.is_image_task else "4n+1"
        notices.append(f"--frame_num {asked} becomes {geometry.pixel_frames} ({config.name} makes {form} frames)")
    text = f"{size[0]}*{size[1]}"
    if text not in config.supported_sizes:
        known = ", ".join(config.supported_sizes)
        notices.append(f"--size {text} is not one the model was made for ({known}); quality may suffer")
    return geometry


def _settings(request: Request, config: TaskConfig, notices: list[str], *, has_image: bool) -> SamplingSettings:
    scales = request.sample_guide_scale
    if scales is not None and len(scales) == 2 and not config.has_two_experts:
        raise InvalidInput(f"--sample_guide_scale takes one value for --task {config.name}, not {len(scales)}")
    if scales is None and config.recommended_guide_scale:
        notices.append(
            f"--sample_guide_scale {config.recommended_guide_scale:g} is what the makers of {config.name} recommend; "
            f"this run has the official default of {config.sample_guide_scale:g}"
        )
    width, height = request.size or parse_size(config.default_size)
    shift = config.shift_for(f"{width}*{height}") if request.sample_shift is None else request.sample_shift
    return settings_from(
        config,
        solver=request.sample_solver,
        steps=config.sample_steps if request.sample_steps is None else request.sample_steps,
        shift=shift,
        guide_scale=config.sample_guide_scale if scales is None else (scales[0], scales[-1]),
        shortcuts=request.shortcuts,
        has_image=has_image,
    )
