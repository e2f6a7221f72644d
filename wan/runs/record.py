"""The record of one run, ``run.json``: written when the run starts, rewritten whole at every change."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from wan.errors import InvalidInput
from wan.runs.atomic import write_json_atomic
from wan.runs.folders import RECORD_NAME
from wan.untrusted.json_text import read_json_object
from wan.untrusted.refusal import Refused

RUNNING, FINISHED, FAILED, INTERRUPTED = "running", "finished", "failed", "interrupted"
STATUSES = (RUNNING, FINISHED, FAILED, INTERRUPTED)

PARAMETERS = "parameters"
"""The settings once more, as a text that other programs read (``wan.parameters_text``)."""
LORA_HASHES = "lora_sha256"
FILE_KEYS = ("task", "prompt", "original_prompt", "negative_prompt", "seed", "command", PARAMETERS)


class Paused(Exception):
    """A run stops in order, and goes on later from its resume file."""


class RunRecord:
    """Owner of ``run.json`` in one run folder; the file on disk is always whole and never behind the object.

    As a context manager it ends the record: ``finished`` (unless the block set a status itself), ``interrupted``
    (Ctrl-C, ``Paused``) or ``failed`` with the error.
    A record that stays ``running`` belongs to a process that was killed.
    """

    def __init__(self, directory: Path, sections: Mapping[str, Any]) -> None:
        self.path = directory / RECORD_NAME
        self._sections: dict[str, Any] = {"status": RUNNING}
        self.update(**sections)

    @property
    def sections(self) -> Mapping[str, Any]:
        """What ``run.json`` holds, read-only."""
        return MappingProxyType(self._sections)

    def update(self, **sections: Any) -> None:
        """Replace the named sections and rewrite the file; OSError when that fails."""
        changed = self._sections | sections
        assert changed["status"] in STATUSES, changed["status"]
        write_json_atomic(self.path, changed)
        self._sections = changed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            if self._sections["status"] == RUNNING:
                self.update(status=FINISHED)
        elif isinstance(error, KeyboardInterrupt | Paused):
            self.update(status=INTERRUPTED)
        else:
            self.update(status=FAILED, error=f"{type(error).__name__}: {error}")


def file_metadata(record: Mapping[str, Any]) -> dict[str, str]:
    """What the files of a run carry with them."""
    found = {name: str(record[name]) for name in FILE_KEYS if name in record}
    image, extension = record["settings"].get("image_sha256"), record.get("prompt_extension")
    found |= {"original_prompt": str(extension["original"])} if extension else {}
    found |= {LORA_HASHES: lora_hashes(record["settings"])} if record["settings"].get("loras") else {}
    return found | ({"image_sha256": image} if image else {})


def lora_hashes(settings: Mapping[str, Any]) -> str:
    """The SHA-256 of every LoRA in a record's settings, one after the other."""
    return " ".join(str(lora["sha256"]) for lora in settings.get("loras", []))


def load_record(run_dir: Path) -> dict[str, Any]:
    """The content of ``run.json`` in a run folder; InvalidInput when there is none or it is damaged."""
    path = run_dir / RECORD_NAME
    if not path.exists():
        raise InvalidInput(f"{run_dir} is not a run folder: it has no {RECORD_NAME}")
    try:
        return read_json_object(path)
    except Refused as error:
        raise InvalidInput(f"{path} is no record of a run: {error}; restore it or run the generation again") from error
