"""A job whose prompt is to be extended becomes the one with the extended prompt: asked for once, or recorded."""

from collections.abc import Callable
from dataclasses import replace

from wan.errors import ExtensionFailed
from wan.extension.extend import extend
from wan.image_input import Picture
from wan.job import Job, prepare
from wan.prompt_extension import Extension, PromptExtension
from wan.request import Request


def extended_job(job: Job, *, seed: int, say: Callable[[str], None]) -> Job:
    """The job as it runs: with its extended prompt, where its request asks for one, and otherwise as it is.

    ``ExtensionFailed`` (exit code 1) when there is no extension and the request does not allow to go on without.
    """
    if job.extending is None:
        return job
    asked = job.request
    try:
        made = extend(
            job.extending,
            seed=seed,
            say=say,
            device=asked.machine.device,
            fall_back=asked.extension.prompt_extend_fallback,
        )
    except ExtensionFailed as error:
        raise ExtensionFailed(f"{error}; --prompt_extend_fallback would go on with the prompt as it is") from error
    if made.failure is None:
        say(f"extended prompt: {made.extended}")
    return job_with_extension(asked, made, picture=job.picture)


def job_with_extension(asked: Request, made: Extension, *, picture: Picture | None = None) -> Job:
    """The job of a request whose extension is known. Its request asks for no extension any more, so that its command
    makes the same video without asking anybody; what was asked for stays beside it."""
    request = replace(asked, prompt=made.extended, extension=PromptExtension())
    return replace(prepare(request, picture=picture), extension=made, asked=asked)
