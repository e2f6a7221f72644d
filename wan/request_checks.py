"""What a request is refused for before it is planned: texts, paths, seeds, and places that cannot be written to."""

from dataclasses import replace
from pathlib import Path

from wan.configs import TaskConfig
from wan.errors import InvalidInput
from wan.limits import check_seed
from wan.request import Request
from wan.runs.writable import refuse_unwritable_file, refuse_unwritable_folder
from wan.texts import check_path, checked_prompt


def checked_request(request: Request) -> Request:
    """The request with its texts as UTF-8; ``InvalidInput`` for a text, a path or a seed that no run can have."""
    paths = {"ckpt_dir": request.ckpt_dir, "image": request.image, "save_file": request.save_file}
    paths |= {"output_dir": request.output_dir, "debug_output_dir": request.debug_output_dir}
    paths |= {"text_cache": request.machine.text_cache, "plan": request.shortcuts.plan}
    for _, lora in request.weights.loras:
        check_path(lora.path, name="--lora")
    for name, path in paths.items():
        check_path(path, name=f"--{name}")
    if request.machine.text_cache:
        refuse_unwritable_folder(request.machine.text_cache, flag="--text_cache")
    check_seed(request.seed, name="--base_seed", random_allowed=True)
    prompt, negative = request.prompt, checked_prompt(request.negative_prompt, name="--negative_prompt")
    prompt = None if prompt is None else checked_prompt(prompt, name="--prompt")
    return replace(request, prompt=prompt, negative_prompt=negative)


def refuse_bad_folders(request: Request) -> None:
    """``InvalidInput`` for a folder that a run writes into and cannot, before anything is loaded."""
    folders = {"--output_dir": request.output_dir, "--debug_output_dir": request.debug_output_dir}
    for flag, folder in folders.items():
        if folder is not None:
            refuse_unwritable_folder(folder, flag=flag)


def check_save_file(request: Request, config: TaskConfig) -> None:
    """``InvalidInput`` for a --save_file that the result could not be written to."""
    if request.save_file is not None:
        refuse_result_file(request.save_file, config, overwrite=request.overwrite)


def refuse_result_file(path: Path, config: TaskConfig, *, overwrite: bool) -> None:
    """``InvalidInput`` for a file that cannot hold a task's video (or picture), or that is there already."""
    suffix = ".png" if config.is_image_task else ".mp4"
    if path.suffix.lower() != suffix:
        raise InvalidInput(f"--save_file {path} must end in {suffix} for --task {config.name}")
    refuse_unwritable_file(path, flag="--save_file")
    if path.exists() and not overwrite:
        raise InvalidInput(f"--save_file {path} exists; give another name, or --overwrite to replace it")
