"""One request over HTTP that ends: within a total time, with a limit on the answer, and with retries where they help.

No proxy and no redirect is followed, so that the key reaches the named host alone.
"""

import contextlib
import http.client
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from wan.errors import ExtensionFailed
from wan.extension.services import Service
from wan.untrusted.json_text import parse_json
from wan.untrusted.refusal import Refused, reason_of, shown

MAX_ANSWER = 2**20
_TRANSIENT = (408, 409, 425, 429)
_KEY_REFUSED = (401, 403)
_SHORTEST = 0.05
"""Seconds that an attempt gets at least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """Seconds in all and for one attempt, how many attempts, and the waits between them, which double."""

    total: float = 180.0
    attempt: float = 90.0
    attempts: int = 5
    first_wait: float = 1.0
    longest_wait: float = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reply:
    status: int
    retry_after: str | None
    location: str | None
    body: bytes


class _Unanswered(Exception):
    """Another attempt may help. The message is a clause for a sentence; ``wait``: seconds that the service asks for."""

    def __init__(self, clause: str, *, wait: float | None = None) -> None:
        super().__init__(clause)
        self.wait = wait


def post(
    service: Service, path: str, body: bytes, *, say: Callable[[str], None], patience: Patience | None = None
) -> bytes:
    """The body of the answer to a POST of JSON; ``ExtensionFailed`` names the host and what it did."""
    patience = patience or Patience()
    end = time.monotonic() + patience.total
    for attempt in range(1, patience.attempts + 1):
        try:
            return _answer(service, _once(service, path, body, seconds=_left(end, patience.attempt)))
        except _Unanswered as error:
            wait = _wait(patience, attempt, asked=error.wait)
            if attempt == patience.attempts:
                raise ExtensionFailed(f"{service.host} {error}, {attempt} times; try again later") from None
            if time.monotonic() + wait >= end:
                raise ExtensionFailed(
                    f"{service.host} {error}, and another attempt in {wait:.0f} s would be after the "
                    f"{patience.total:g} s that a prompt is waited for; try again later"
                ) from None
            say(f"{service.host} {error}; attempt {attempt + 1} of {patience.attempts} in {wait:.1f} s")
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _left(end: float, most: float) -> float:
    return max(_SHORTEST, min(most, end - time.monotonic()))


def _wait(patience: Patience, attempt: int, *, asked: float | None) -> float:
    """Exponential backoff with full jitter, and never less than the service asks for."""
    ceiling = min(patience.longest_wait, patience.first_wait * 2 ** (attempt - 1))
    return max(asked or 0.0, random.uniform(ceiling / 2, ceiling))


def _answer(service: Service, reply: _Reply) -> bytes:
    """The body of a success; ``_Unanswered`` or ``ExtensionFailed`` for everything else."""
    if reply.status == 200:
        return reply.body
    if reply.status in _TRANSIENT or reply.status >= 500:
        raise _Unanswered(f"answers HTTP {reply.status}{_said(service, reply)}", wait=_seconds(reply.retry_after))
    if 300 <= reply.status < 400:
        elsewhere = urlsplit(reply.location or "").netloc or "another address"
        raise ExtensionFailed(
            f"{service.host} sends on to {shown(elsewhere)} (HTTP {reply.status}), which is not followed, so that the "
            "key stays where it belongs; name the right address"
        )
    if reply.status in _KEY_REFUSED:  # such answers repeat the key, or the half of it
        raise ExtensionFailed(f"{service.host} refuses the key in {service.key_name} (HTTP {reply.status}); check it")
    raise ExtensionFailed(f"{service.host} refuses the request: HTTP {reply.status}{_said(service, reply)}")


class _Attempt:
    """A connection that is cut when its time is over: a socket's own timeout begins anew with every byte, and an answer
    that drips would never end."""

    def __init__(self, service: Service, *, seconds: float) -> None:
        parts = service.parts
        connect = http.client.HTTPSConnection if service.is_encrypted else http.client.HTTPConnection
        assert parts.hostname is not None
        self.connection = connect(parts.hostname, parts.port, timeout=seconds)
        self.is_over = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> http.client.HTTPConnection:
        self._timer.start()
        self.connection.connect()
        # the connection forgets its socket while the answer is still read from it
        self._socket = self.connection.sock
        return self.connection

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._timer.cancel()
        self.connection.close()

    def _cut(self) -> None:
        self.is_over = True
        opened = self._socket or self.connection.sock
        with contextlib.suppress(OSError):  # it is closed already
            if opened is not None:
                opened.shutdown(socket.SHUT_RDWR)


def _once(service: Service, path: str, body: bytes, *, seconds: float) -> _Reply:
    """One attempt."""
    attempt, content, is_whole = _Attempt(service, seconds=seconds), b"", True
    late = f"has not answered within {seconds:g} s"
    try:
        with attempt as connection:
            connection.request("POST", service.parts.path + path, body=body, headers=_headers(service))
            response = connection.getresponse()
            content = response.read(MAX_ANSWER + 1)
            is_whole = not response.length
    except ssl.SSLCertVerificationError as error:
        raise ExtensionFailed(f"the certificate of {service.host} is not valid ({error.verify_message})") from None
    except (OSError, http.client.HTTPException) as error:
        is_late = attempt.is_over or isinstance(error, TimeoutError)
        reason = _without_key(service, reason_of(error))
        raise _Unanswered(late if is_late else f"cannot be reached ({reason})") from None
    finally:
        attempt.close()
    if len(content) > MAX_ANSWER:
        raise ExtensionFailed(f"the answer of {service.host} is longer than {MAX_ANSWER // 2**20} MiB, as no prompt is")
    if attempt.is_over or not is_whole:
        raise _Unanswered(late if attempt.is_over else "broke its answer off")
    return _Reply(
        status=response.status,
        retry_after=response.getheader("Retry-After"),
        location=response.getheader("Location"),
        body=content,
    )


def _headers(service: Service) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": "wan22-shortcut",
    }
    return headers | ({"Authorization": f"Bearer {service.key}"} if service.key else {})


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds: a number, or a date (RFC 9110, section 10.2.3)."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return max(0.0, (date.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _said(service: Service, reply: _Reply) -> str:
    """What the service says of its error, in brackets; nothing where it says it in no form that is known."""
    try:
        content = parse_json(reply.body)
    except Refused:
        return ""
    error = content.get("error", content) if isinstance(content, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return f" ({shown(_without_key(service, message), 200)})" if isinstance(message, str) and message else ""


def _without_key(service: Service, text: str) -> str:
    return text.replace(service.key, "(the key)") if service.key else text
