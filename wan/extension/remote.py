"""Asking a service for a prompt: the chat request (with the picture, where there is one) and what its answer holds."""

import base64
import json
from collections.abc import Callable
from typing import Any

from wan.errors import ExtensionFailed
from wan.extension.instructions import asked, instructions
from wan.extension.services import Service
from wan.extension.task import ExtensionTask
from wan.extension.transport import Patience, post
from wan.untrusted.json_text import parse_json
from wan.untrusted.refusal import Refused, shown

_PATH = "/chat/completions"
_SEEDS = 2**31
"""Services take seeds of 31 bits."""


def ask(task: ExtensionTask, *, seed: int, say: Callable[[str], None], patience: Patience | None = None) -> str:
    """The service's answer as it is; ``ExtensionFailed`` when there is none."""
    assert task.service is not None
    body = json.dumps(chat_request(task, seed=seed), ensure_ascii=False).encode("utf-8")
    return content_of(post(task.service, _PATH, body, say=say, patience=patience), task.service)


def chat_request(task: ExtensionTask, *, seed: int) -> dict[str, Any]:
    """The fields that every compatible service takes, and no others."""
    text = asked(task.prompt, task.language)
    said: Any = text
    if task.jpeg is not None:
        address = f"data:image/jpeg;base64,{base64.b64encode(task.jpeg).decode('ascii')}"
        said = [{"type": "image_url", "image_url": {"url": address}}, {"type": "text", "text": text}]
    messages = [
        {"role": "system", "content": instructions(task.kind, task.language)},
        {"role": "user", "content": said},
    ]
    return {"model": task.model, "messages": messages, "seed": seed % _SEEDS}


def content_of(body: bytes, service: Service) -> str:
    """The text in a chat completion; ``ExtensionFailed`` for what is none, or for a text that was cut off."""
    try:
        answer = parse_json(body)
    except Refused as error:
        raise ExtensionFailed(f"the answer of {service.host} is no JSON: {error}") from None
    try:
        choice = answer["choices"][0]
        content, reason = choice["message"]["content"], choice.get("finish_reason")
    except (AttributeError, IndexError, KeyError, TypeError):
        content, reason = None, None
    if isinstance(content, list):  # some services answer in parts
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if reason == "content_filter":
        raise ExtensionFailed(f"{service.host} does not answer this prompt (its content filter)")
    if not isinstance(content, str):
        raise ExtensionFailed(f"the answer of {service.host} is no chat completion; check its address and the model")
    if reason == "length":
        raise ExtensionFailed(f"the answer of {service.host} is cut off ({shown(content, 40)!r})")
    return content
