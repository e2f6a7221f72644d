"""The fields that a client may give, read into a request; what the operator of the service decides is refused."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from wan.batch.lines import LineReader, line_parser
from wan.configs import WAN_CONFIGS
from wan.errors import CheckpointError, InvalidInput
from wan.flags import field_names
from wan.prompt_extension import PromptExtension
from wan.request import Request
from wan.serve.settings import DeskSettings
from wan.serve.views import RequestRefused
from wan.shortcuts import Shortcuts
from wan.texts import shown
from wan.weight_options import WeightOptions

SHORTCUTS = "shortcuts"
SAMPLING_FIELDS = ("sample_solver", "sample_steps", "sample_shift", "sample_guide_scale")
"""The fields for which the operator may give the defaults."""
_PLAIN = (
    *("task", "prompt", "negative_prompt", "size", "frame_num", "base_seed"),
    *("use_prompt_extend", *SAMPLING_FIELDS),
)
_SWITCHES_OF_OLD = ("enable_half_frame_generation", "enable_improved_frame_completion")
SHORTCUT_FIELDS = (*(name for name in field_names(Shortcuts) if name != "plan"), *_SWITCHES_OF_OLD)
FIELDS = (*_PLAIN, *SHORTCUT_FIELDS, SHORTCUTS)
"""What a client may give: no name of a file on the server, and nothing that says how its machine is used."""
SWITCHES = frozenset(action.dest for action in line_parser()._actions if action.nargs == 0)
"""Fields that are true or false."""
_WEIGHTS = field_names(WeightOptions)
_NAMED = re.compile(r"--([a-z0-9_]+)|^\"([a-z0-9_]+)\"|^'([a-z0-9_]+)'")
_HELP = re.compile(r" \(see `[^`]*`\)$")


class FieldReader:
    """Reads fields into requests as a service's ``settings`` allow them."""

    def __init__(self, settings: DeskSettings) -> None:
        self._settings = settings
        self._models = settings.models
        self._reader = LineReader(Path("request"), line_parser().parse_args([]))
        self._known = {one.dest: one for one in line_parser()._actions}

    def completed(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields with the service's own defaults for those that are left out."""
        first = next(iter(self._models))
        return {"task": first, **self._settings.defaults} | _without_none(fields)

    def request(self, fields: Mapping[str, Any]) -> Request:
        """The request of completed fields; ``RequestRefused`` says what its flag would say."""
        with refusing():
            self._refuse_others(fields)
            request = self._reader.request(fields)
            task = request.task or ""
            if task not in self._models:
                raise RequestRefused(
                    f"{shown(task)} is not served here; choose one of {', '.join(self._models)}", field="task"
                )
            self._refuse_long("prompt", request.prompt or "")
            self._refuse_long("negative_prompt", request.negative_prompt)
            can_preview = WAN_CONFIGS[task].preview is not None
            return replace(
                request,
                ckpt_dir=self._models[task],
                machine=self._settings.machine,
                weights=self._settings.weights,
                extension=self._extension(request),
                preview=can_preview,
            )

    def _extension(self, request: Request) -> PromptExtension:
        """How the operator has prompts extended, where the client wants that."""
        if not request.extension.use_prompt_extend:
            return request.extension
        if self._settings.extension is None:
            raise RequestRefused(
                "use_prompt_extend is not offered by this service; leave it out, or its operator starts it with "
                "--use_prompt_extend",
                field="use_prompt_extend",
            )
        return self._settings.extension

    def _refuse_others(self, fields: Mapping[str, Any]) -> None:
        nested = fields.get(SHORTCUTS) or {}
        inner = nested if isinstance(nested, Mapping) else {}
        for name, allowed in (*((one, FIELDS) for one in fields), *((one, SHORTCUT_FIELDS) for one in inner)):
            if name in allowed or name in ("seed", "sampling_steps"):
                continue
            if name in self._known or name == "machine":
                raise RequestRefused(f'"{name}" {_why_not(name)}', field=name)
            raise RequestRefused(unknown_field(name, allowed), field=name)

    def _refuse_long(self, name: str, text: str) -> None:
        most = self._settings.max_prompt
        if len(text) > most:
            raise RequestRefused(
                f"--{name} {shown(text)} has {len(text):,} characters, and {most:,} are the most here; a "
                "model reads about the first 2,500",
                field=name,
            )


@contextmanager
def refusing() -> Iterator[None]:
    """Inside of it an ``InvalidInput`` becomes a ``RequestRefused`` that knows the field at fault.

    What is wrong with the service's own checkpoint stays a ``CheckpointError``, and what is wrong with its LoRA files
    and weights an ``InvalidInput``: no client is at fault, or told where they lie.
    """
    try:
        yield
    except (RequestRefused, CheckpointError):
        raise
    except InvalidInput as error:
        sentence = _HELP.sub("", str(error))
        field = field_of(sentence)
        if field in _WEIGHTS:
            raise
        raise RequestRefused(sentence, field=field) from error


def field_of(sentence: str) -> str | None:
    """The field that a sentence is about: the first one that it names."""
    found = _NAMED.search(sentence)
    name = "".join(one or "" for one in found.groups()) if found else None
    return {"sampling_steps": "sample_steps"}.get(name or "", name)


def unknown_field(name: str, known: Collection[str]) -> str:
    """The sentence about a field that does not exist, with the one that it looks like, or all of them."""
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the fields are {', '.join(known)}"
    return f'"{name[:40]}" is not a field of a request; {hint}'


def _why_not(name: str) -> str:
    if name in FIELDS:
        return f'is no shortcut; it stands beside "{SHORTCUTS}"'
    if name == "image":
        return "is a file of the service's machine, which nobody may name; send the picture itself"
    return "is for the operator of the service to decide; leave it out"


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
