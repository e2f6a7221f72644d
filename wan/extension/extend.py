"""Extend one prompt: say what is sent, ask, clean the answer; the original is used only where that is allowed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from wan.errors import ExtensionFailed
from wan.extension.answers import clean_answer
from wan.extension.task import ExtensionTask
from wan.prompt_extension import Extension

if TYPE_CHECKING:
    from wan.extension.transport import Patience

Say = Callable[[str], None]
"""Where the lines for the user go."""


def extend(
    task: ExtensionTask,
    *,
    seed: int,
    say: Say,
    device: str | None = None,
    fall_back: bool = False,
    patience: "Patience | None" = None,
) -> Extension:
    """The extension; ``ExtensionFailed`` when there is none and ``fall_back`` does not allow the prompt as it is.

    On this machine the same ``seed`` gives the same extension; services promise no such thing. ``device`` is for a
    model on this machine, ``patience`` for a service.
    """
    for line in task.lines():
        say(line)
    extended, failure = task.prompt, None
    try:
        extended = clean_answer(_ask(task, seed=seed, say=say, device=device, patience=patience))
    except ExtensionFailed as error:
        if not fall_back:
            raise
        failure = str(error)
        say(f"the prompt could not be extended and is used as it is: {failure}")
    return Extension(
        original=task.prompt,
        extended=extended,
        method=task.method,
        model=task.model,
        language=task.language,
        seed=seed,
        uploaded=task.upload(),
        failure=failure,
    )


def _ask(task: ExtensionTask, *, seed: int, say: Say, device: str | None, patience: "Patience | None") -> str:
    if task.service is not None:
        from wan.extension import remote  # a dry run need not wait for HTTP and its encryption

        return remote.ask(task, seed=seed, say=say, patience=patience)
    from wan.extension import local  # torch and transformers take seconds that a service need not wait for

    return local.ask(task, seed=seed, device=device)
