"""What of Gradio can be reached from outside: the page and its events, and nothing that Gradio has besides.

Gradio answers many more addresses than a page needs (files by path or by address on the network, a proxy, sharing,
monitoring). Here everything is refused that is not on a short list. A policy in the answer's head lets the browser talk
to this server alone.
"""

import json
import re
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOST_EVENT_BYTES = 1_000_000
_GET = re.compile(
    r"/?|/(config|theme\.css|manifest\.json|favicon\.ico|robots\.txt|pwa_icon)|/(assets|static|svelte)/[\w./-]+"
    r"|/gradio_api/(startup-events|upload_progress|queue/data|info|app_id|heartbeat/\w+)|/gradio_api/file=/.+"
)
_POST = re.compile(r"/gradio_api/(queue/join|upload|cancel|reset/?)")
_EVENTS = "/gradio_api/queue/join"
POLICY = "; ".join(
    (
        "default-src 'self'",
        # Gradio compiles its templates in the browser
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
# Gradio's own names a file that only a page at the bare address has
_MANIFEST = b'<link rel="manifest" href="/manifest.json" />'
_ICON = (
    b'<link rel="icon" href="data:image/svg+xml,'
    b"%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='3' "
    b"fill='%231f5fa8'/%3E%3Cpath d='M6 4l6 4-6 4z' fill='white'/%3E%3C/svg%3E\">"
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode("ascii")),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Gate:
    """Stands before the application of one page; ``language`` is that of its document."""

    def __init__(self, app: ASGIApp, *, language: str) -> None:
        self._app = app
        self._language = language

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through what the page needs; 404 for the rest, 400 for an event that names a file on the network."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
        pattern = {"GET": _GET, "HEAD": _GET, "POST": _POST}.get(scope["method"])
        if pattern is None or not pattern.fullmatch(path):
            await _refuse(send, 404, "there is no such page")
            return
        if path == _EVENTS:
            body = await _body(receive)
            if body is None or _names_an_address(body):
                await _refuse(send, 400, "a file on the network is not taken; upload it")
                return
            receive = _again(body, receive)
        await self._app(scope, receive, _Headed(send, self._language).send)


class _Headed:
    """Adds the headers to an answer, and to a document its language."""

    def __init__(self, send: Send, language: str) -> None:
        self._send = send
        self._language = language.encode("ascii")
        self._start: Message | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
            if dict(message["headers"]).get(b"content-type", b"").startswith(b"text/html"):
                self._start = message  # its length changes with its language
                return
        elif self._start is not None:
            start, self._start = self._start, None
            body = message.get("body", b"").replace(b'lang="en"', b'lang="' + self._language + b'"', 1)
            body = body.replace(_MANIFEST, _ICON, 1)
            rest = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
            start["headers"] = rest if message.get("more_body") else [*rest, (b"content-length", b"%d" % len(body))]
            await self._send(start)
            message = {**message, "body": body}
        await self._send(message)


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = sentence.encode("ascii")
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body)), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> bytes | None:
    """The whole body of an event; None for one that is larger than any form."""
    parts: list[bytes] = []
    while sum(map(len, parts)) <= _MOST_EVENT_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
    return None


def _again(body: bytes, receive: Receive) -> Receive:
    """Hands out a body that has been read; then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def one() -> Message:
        return waiting.pop() if waiting else await receive()

    return one


def _names_an_address(body: bytes) -> bool:
    """Whether an event names a file by an address on the network, which Gradio would fetch."""
    try:
        return _has_address(json.loads(body))
    except (ValueError, RecursionError):
        return True


def _has_address(value: Any) -> bool:
    if isinstance(value, dict):
        path = value.get("path")
        is_address = isinstance(path, str) and re.match(r"\s*[a-z][a-z0-9+.-]+:", path, re.IGNORECASE) is not None
        return is_address or any(map(_has_address, value.values()))
    return isinstance(value, list) and any(map(_has_address, value))
