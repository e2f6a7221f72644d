"""What stands before every address of the service: its size limit, its hosts, its own origin, and the token."""

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "wan_session"
OPEN_PATHS = ("/health", "/login")
"""What is answered without the token."""
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class TooLarge(HTTPException):
    """More came than a body may have: raised where the application reads, which answers it as any other error."""


class Guard:
    """An ASGI application around another one.

    ``hosts``: the names by which the service may be called; None: any, because the token tells friends from others.
    ``max_body``: bytes, counted while they come.
    """

    def __init__(self, app: App, *, token: str | None, hosts: Collection[str] | None, max_body: int) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._session = "" if token is None else session_of(token)
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self._max_body = max_body
        self._too_large = f"the body is larger than {max_body:,} bytes, the most here"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _headers_of(scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(scope, send, *refusal)
            return
        await self._limited(scope, receive, send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str] | None:
        """(status, type, sentence) for what is not let through."""
        host = headers.get("host", "")
        if self._hosts is not None and host_name(host) not in self._hosts:
            return 403, "permission_error", "the service is not known by that name; see --allow_host"
        origin = headers.get("origin")
        if origin is not None and not _is_same(origin, host, scope):
            return 403, "permission_error", "another site may not use this service"
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return 403, "permission_error", "another site may not use this service"
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > self._max_body:
            return 413, "invalid_request_error", self._too_large
        if self._token is not None and scope["path"] not in OPEN_PATHS and not self._knows_token(headers):
            return 401, "authentication_error", "the token is missing or wrong; send it as Authorization: Bearer TOKEN"
        return None

    def _knows_token(self, headers: dict[str, str]) -> bool:
        assert self._token is not None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), self._token):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode("latin-1"), self._session.encode())

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, count what comes in, and add the headers that keep other sites out."""
        came = 0
        has_begun = False

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            if message["type"] == "http.request":
                came += len(message.get("body", b""))
                if came > self._max_body:
                    raise TooLarge(413, self._too_large, headers={"connection": "close"})
            return message

        async def guarded(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                known = {name.lower() for name, _ in message.get("headers", ())}
                message["headers"] = [
                    *message.get("headers", ()),
                    *(header for header in _HEADERS if header[0] not in known),
                ]
            await send(message)

        try:
            await self._app(scope, counted, guarded)
        except TooLarge:
            if not has_begun:
                await _refuse(scope, send, 413, "invalid_request_error", self._too_large)


def session_of(token: str) -> str:
    """What a browser that has logged in keeps in its cookie instead of the token."""
    return hmac.new(token.encode(), b"wan22-shortcut session", hashlib.sha256).hexdigest()


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def error_body(status: int, sentence: str, *, kind: str, param: str | None = None, code: str | None = None) -> bytes:
    """An error as OpenAI's API says it."""
    found = {"error": {"message": sentence, "type": kind, "param": param, "code": code or str(status)}}
    return json.dumps(found).encode("ascii")


def _is_same(origin: str, host: str, scope: Scope) -> bool:
    """Whether an Origin header names the host that was asked. A proxy may have taken https off: ports that are the
    default of either are equal."""
    try:
        theirs, ours = urlsplit(origin), urlsplit(f"//{host}")
        default = _DEFAULT_PORTS.get(theirs.scheme)
        is_port = (theirs.port or default) == (ours.port or default)
        return bool(theirs.hostname) and theirs.hostname == ours.hostname and is_port
    except ValueError:
        return False


def _headers_of(scope: Scope) -> dict[str, str]:
    """By lower-case name; of one that came twice both, which is then no name, no number and no token."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        separator = "; " if key == "cookie" else ", "
        found[key] = f"{found[key]}{separator}{text}" if key in found else text
    return found


async def _refuse(scope: Scope, send: Send, status: int, kind: str, sentence: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body, headers = error_body(status, sentence, kind=kind), [(b"content-type", b"application/json"), *_HEADERS]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
        accepts = _headers_of(scope).get("accept", "")
        if scope["method"] == "GET" and "text/html" in accepts and not scope["path"].startswith("/v1/"):
            status, body = 303, b""
            headers = [(b"location", b"/login"), *_HEADERS]
    headers += [(b"content-length", str(len(body)).encode()), (b"connection", b"close")]  # what else comes is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
