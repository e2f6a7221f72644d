"""What is to be extended, by whom and how: checked and described before a model is loaded or anything is sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from wan.errors import InvalidInput
from wan.extension.instructions import Kind
from wan.extension.local_files import LocalModel, find_local_model
from wan.extension.services import Service, service_for
from wan.prompt_extension import PromptExtension
from wan.untrusted.refusal import shown

if TYPE_CHECKING:
    from PIL import Image

DASHSCOPE_MODELS = {"t2v": "qwen-plus", "t2i": "qwen-plus", "i2v": "qwen-vl-max"}
MAX_SIDE = 1024
"""Pixels of the longer side of a picture that a model looks at: more costs time and tells a prompt nothing."""
_JPEG_QUALITY = 90
_LANGUAGES = {"en": "English", "zh": "Chinese"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtensionTask:
    """One prompt with everything that extending it needs. ``service`` or ``local`` says who does it.

    ``picture`` is at most ``MAX_SIDE`` pixels long; ``jpeg`` is the same as a service gets it, without the notes of the
    file (place, date, camera).
    """

    prompt: str
    kind: Kind
    method: str
    model: str
    language: str
    service: Service | None = None
    local: LocalModel | None = None
    picture: "Image.Image | None" = None
    jpeg: bytes | None = None

    def upload(self) -> str | None:
        """What is sent, and to whom; None when nothing is."""
        if self.service is None:
            return None
        what = f"the prompt ({len(self.prompt)} characters)"
        if self.picture is not None and self.jpeg is not None:
            width, height = self.picture.size
            what += f" and the picture ({width}*{height} pixels, JPEG, {len(self.jpeg) / 1000:.0f} kB)"
        how = "" if self.service.is_encrypted else ", without encryption"
        return f"prompt extension sends {what} to {self.service.host}{how}, with the instructions of this program"

    def lines(self) -> tuple[str, ...]:
        """What will be done, for people."""
        who = f"by {self.model} ({self.method})"
        first = f"the prompt is extended in {_LANGUAGES[self.language]} {who}"
        if (upload := self.upload()) is not None:
            return first, upload
        assert self.local is not None
        if self.local.folder is None:
            return first, f"{self.model} is not on this machine yet and is downloaded from Hugging Face (many GB)"
        return (f"{first}, on this machine: nothing is sent",)


def extension_task(
    options: PromptExtension,
    *,
    prompt: str,
    is_image_task: bool = False,
    picture: "Image.Image | None" = None,
    needs_picture: bool = False,
    environment: Mapping[str, str] | None = None,
) -> ExtensionTask:
    """The task of a request that asks for an extension; ``InvalidInput`` for what cannot work.

    ``needs_picture``: plan for a picture that is not given yet. ``environment``: where keys are (``os.environ``).
    """
    if not prompt.strip():
        raise InvalidInput("--use_prompt_extend needs words to extend, and --prompt is empty; write some")
    kind: Kind = "i2v" if picture is not None or needs_picture else "t2i" if is_image_task else "t2v"
    local = service = None
    if options.method == "local_qwen":
        local = find_local_model(options.prompt_extend_model, sees=kind == "i2v")
        model = local.name
    else:
        service = service_for(options.method, environment)
        model = _service_model(options, kind)
    small = None if picture is None else _small(picture)
    return ExtensionTask(
        prompt=prompt,
        kind=kind,
        method=options.method,
        model=model,
        language=options.language,
        service=service,
        local=local,
        picture=small,
        jpeg=_jpeg(small) if small is not None and service is not None else None,
    )


def _service_model(options: PromptExtension, kind: Kind) -> str:
    model = options.prompt_extend_model
    if model is None:
        if options.method != "dashscope":
            raise InvalidInput(
                "--prompt_extend_method openai needs --prompt_extend_model, the name of a model of the service; give it"
            )
        return DASHSCOPE_MODELS[kind]
    if not model.isprintable():
        raise InvalidInput(f"--prompt_extend_model {shown(model)!r} is no name of a model; write it on one line")
    return model


def _small(picture: "Image.Image") -> "Image.Image":
    """A copy that is no larger than a model needs, without the notes of its file."""
    small = picture.convert("RGB")
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    small.info = {}  # Pillow writes a comment that it read back into a JPEG
    return small


def _jpeg(picture: "Image.Image") -> bytes:
    file = BytesIO()
    picture.save(file, format="JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()
