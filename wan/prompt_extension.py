"""Prompt extension as it is asked for and as it came out: the official flags, and the record of one extension."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from wan.errors import InvalidInput
from wan.flags import flag

GROUP = "prompt extension"
METHODS = ("dashscope", "local_qwen", "openai")
LANGUAGES = ("zh", "en")
DEFAULT_METHOD, DEFAULT_LANGUAGE = "local_qwen", "zh"
"""The official ones."""
MAX_MODEL_NAME = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptExtension:
    """Whether and how the prompt is extended; None is the default. ``InvalidInput`` for a companion flag alone."""

    use_prompt_extend: bool = flag(False, "let a language model write the prompt out before the run", group=GROUP)
    prompt_extend_method: str | None = flag(
        None,
        "who writes: dashscope (Alibaba's service, key in DASH_API_KEY), local_qwen (a model on this machine, the "
        "default), openai (any compatible service, OPENAI_BASE_URL and OPENAI_API_KEY)",
        group=GROUP,
        choices=METHODS,
    )
    prompt_extend_model: str | None = flag(
        None,
        "its model: a name of the service; for local_qwen a checkpoint folder, or a name on Hugging Face",
        group=GROUP,
        metavar="MODEL",
    )
    prompt_extend_target_lang: str | None = flag(
        None, "language of the extended prompt (zh, the official default)", group=GROUP, choices=LANGUAGES
    )
    prompt_extend_fallback: bool = flag(
        False, "run with the prompt as it is when it cannot be extended, instead of stopping", group=GROUP
    )

    def __post_init__(self) -> None:
        companions = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "use_prompt_extend"}
        alone = [f"--{name}" for name, value in companions.items() if value not in (None, False)]
        if alone and not self.use_prompt_extend:
            raise InvalidInput(f"{alone[0]} needs --use_prompt_extend; give it too, or leave {alone[0]} out")
        if self.prompt_extend_model is not None and not 0 < len(self.prompt_extend_model.strip()) <= MAX_MODEL_NAME:
            raise InvalidInput("--prompt_extend_model must be a name or a folder; give one, or leave it out")

    @property
    def method(self) -> str:
        return self.prompt_extend_method or DEFAULT_METHOD

    @property
    def language(self) -> str:
        return self.prompt_extend_target_lang or DEFAULT_LANGUAGE


@dataclass(frozen=True, kw_only=True, slots=True)
class Extension:
    """One prompt before and after. ``uploaded``: what was sent, and to whom, in one sentence; None: nothing was.

    ``failure``: why the original was used instead, where that was allowed; ``extended`` is then the original.
    """

    original: str
    extended: str
    method: str
    model: str
    language: str
    seed: int
    uploaded: str | None = None
    failure: str | None = None

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says of it."""
        return asdict(self)


def recorded_extension(record: Mapping[str, Any]) -> Extension:
    """The extension that ``run.json`` tells of; ``InvalidInput`` where it tells of none."""
    try:
        found = Extension(**record["prompt_extension"])
    except (KeyError, TypeError):
        found = None
    if found is None or not isinstance(found.original, str) or not isinstance(found.extended, str):
        raise InvalidInput(
            "the record of this run does not hold its extended prompt, which is never asked for again; make a new run"
        )
    return found
