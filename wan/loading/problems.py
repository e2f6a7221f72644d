"""What can be wrong with a checkpoint directory: a sentence that a user reads, and the command that mends it."""

from dataclasses import dataclass
from pathlib import Path

from wan.commands import program, quoted
from wan.untrusted.refusal import one_line

DOWNLOAD = program("download") + " --task {task} --layout {layout} --output_dir {ckpt_dir}"
"""Fetches what is missing, cut short or damaged, and leaves the rest alone."""
DOWNLOAD_ELSEWHERE = program("download") + " --task {task}"
CHECK_ANY_TASK = program("doctor") + " --ckpt_dir {ckpt_dir}"
CHECK_TASK = program("doctor") + " --ckpt_dir {ckpt_dir} --task {task}"


@dataclass(frozen=True, slots=True)
class Problem:
    """``mend`` is a command with ``{task}``, ``{layout}`` and ``{ckpt_dir}`` left open.

    ``task`` and ``ckpt_dir`` are set where the command is about others than those that were checked.
    """

    sentence: str
    mend: str = DOWNLOAD
    task: str | None = None
    ckpt_dir: Path | None = None

    def __post_init__(self) -> None:
        # names of files and tensors come from others
        object.__setattr__(self, "sentence", one_line(self.sentence))

    def command(self, *, task: str, layout: str, ckpt_dir: Path) -> str:
        """The command for the directory and task that were checked, ready for a shell."""
        directory = quoted(self.ckpt_dir or ckpt_dir)
        return self.mend.format(task=self.task or task, layout=layout, ckpt_dir=directory)


def verbatim(command: str) -> str:
    """A whole command as ``Problem.mend``."""
    return command.replace("{", "{{").replace("}", "}}")
