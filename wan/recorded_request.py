"""A request read back out of what a run left: an mp4, a PNG, a ``run.json`` or a run folder.

The file may be anybody's. The command that it carries is taken apart into words and read by the parser of flags; it is
never run. What would write somewhere, or would switch a check off, is left out of it.
"""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wan.errors import InvalidInput
from wan.flags import Groups, make_parser
from wan.job import Job
from wan.request import Request, add_request_flags, request_of
from wan.runs import load_record
from wan.runs.record import LORA_HASHES, lora_hashes
from wan.shortcuts import Shortcuts, is_budget
from wan.untrusted.json_text import read_json_object
from wan.untrusted.refusal import Refused, shown
from wan.weight_options import Lora

FLAG = "--from"
_DOOR = "generate.py"
_OWN: Mapping[str, Any] = {
    **{name: Request.__dataclass_fields__[name].default for name in ("output_dir", "save_file", "overwrite")},
    "debug_output_dir": None,
}
"""What stays as it is without the file: where things are written."""
_OWN_MACHINE: Mapping[str, Any] = {"text_cache": None, "ignore_memory_check": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """``request`` of the file at ``path``, without its places to write to; ``image_sha256`` of its picture,
    ``lora_sha256`` of its LoRA files, one after the other."""

    path: Path
    request: Request
    image_sha256: str | None
    lora_sha256: str | None = None

    def argv_beside(self, given: Request) -> list[str]:
        """The flags of the file, to stand before those that were given. A budget and single shortcuts exclude each
        other: where one is given, the other is not taken from the file."""
        ours, theirs = given.shortcuts, self.request.shortcuts
        is_other = ours != Shortcuts() and is_budget(ours) != is_budget(theirs)
        return (replace(self.request, shortcuts=Shortcuts()) if is_other else self.request).argv()

    def refuse_missing(self, asked: Request) -> None:
        """``InvalidInput`` for a recorded path that is not here, unless ``asked`` has another one."""
        for name, (flag, path) in _paths(self.request).items():
            if path is not None and _paths(asked).get(name, ("", None))[1] == path and not path.exists():
                raise InvalidInput(
                    f"{FLAG} {self.path}: its {flag} {shown(path)} is not here; give {flag} beside it, with the place "
                    "on this machine"
                )

    def notices(self, job: Job) -> list[str]:
        """What is not as it was when the file was made."""
        picture, found = job.picture, []
        if picture is not None and self.image_sha256 not in (None, picture.sha256):
            found.append(f"--image {job.request.image} is another picture than the one that {self.path} was made from")
        if job.loras and self.lora_sha256 not in (None, " ".join(lora.sha256 for lora in job.loras)):
            found.append(f"the LoRA files are others than those that {self.path} was made with")
        return found


def recorded_request(path: Path) -> Recorded:
    """The request that made a file; ``InvalidInput`` for one that carries none, or whose flags are not those of this
    version."""
    settings = _settings(path)
    command = settings.get("command")
    if not isinstance(command, str):
        raise InvalidInput(f"{FLAG} {path}: it carries settings of another program, without a command of this one")
    image, loras = settings.get("image_sha256"), settings.get(LORA_HASHES)
    request = _own_places(_request(path, _words(path, command)))
    return Recorded(
        path=path,
        request=request,
        image_sha256=image if isinstance(image, str) else None,
        lora_sha256=loras if isinstance(loras, str) else None,
    )


def _settings(path: Path) -> Mapping[str, Any]:
    if path.is_dir():
        record = load_record(path)
    elif path.suffix.lower() == ".json":
        try:
            record = read_json_object(path)
        except Refused as error:
            raise InvalidInput(f"{FLAG} {path} is no record of a run: {error}; give the run.json of a run") from error
    else:
        from wan.runs.video import read_settings  # it needs PyAV, which no other request has to wait for

        return read_settings(path)
    inner = record.get("settings")
    if not isinstance(inner, dict):
        return record
    return record | {"image_sha256": inner.get("image_sha256"), LORA_HASHES: _hashes(inner)}


def _hashes(settings: Mapping[str, Any]) -> str | None:
    """Of the LoRA files in somebody's record; None for none, and for what is no such list."""
    loras = settings.get("loras")
    is_list = isinstance(loras, list) and all(isinstance(one, dict) and "sha256" in one for one in loras)
    return lora_hashes(settings) if loras and is_list else None


def _words(path: Path, command: str) -> list[str]:
    """The flags of a recorded command, behind the program that it starts with."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidInput(f"{FLAG} {path}: the command in it cannot be read ({error}); give its flags") from None
    first = 2 if words[:1] == ["torchrun"] else 1  # torchrun has a flag of its own before the program
    end = next((place for place in range(first, len(words)) if words[place].startswith("--")), len(words))
    is_ours = words[end - 1 : end] and words[end - 1].endswith(_DOOR)
    if not (is_ours or words[max(end - 2, 0) : end] == ["wan", "generate"]):
        raise InvalidInput(f"{FLAG} {path}: '{shown(command)}' is no command that makes a video; give its flags")
    return words[end:]


def _request(path: Path, words: list[str]) -> Request:
    parser = make_parser("generate", None, add_help=False)
    add_request_flags(Groups(parser))
    try:
        request = request_of(parser.parse_args(words))
    except InvalidInput as error:
        raise InvalidInput(
            f"{FLAG} {path}: this version does not know what is in it ({shown(error, 300)}); give its settings as "
            "flags, or use the version that made it"
        ) from None
    if request.extension.use_prompt_extend:  # a record of ours holds the extended prompt itself
        raise InvalidInput(
            f"{FLAG} {path}: it asks for a language model, which a file may not choose; give its settings as flags"
        )
    return request


def _own_places(request: Request) -> Request:
    return replace(request, **_OWN, machine=replace(request.machine, **_OWN_MACHINE))


def _paths(request: Request) -> dict[str, tuple[str, Path | None]]:
    """What a request reads, with its flags."""
    loras = {f"{flag} {place}": (f"--{flag}", lora.path) for flag, place, lora in _loras(request)}
    return {
        "ckpt_dir": ("--ckpt_dir", request.ckpt_dir),
        "image": ("--image", request.image),
        "plan": ("--plan", request.shortcuts.plan),
        **loras,
        **{flag: (flag, path) for flag, path in request.weights.denoiser_files.items()},
    }


def _loras(request: Request) -> Iterator[tuple[str, int, Lora]]:
    for flag in ("lora", "lora_high", "lora_low"):
        for place, lora in enumerate(getattr(request.weights, flag)):
            yield flag, place, lora
