"""The application of the service: the API, the login, the page if there is one, and errors in the form of OpenAI."""

import hmac
import logging
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from wan.errors import InvalidInput, WanError
from wan.serve.api import NotReady, router
from wan.serve.bodies import TEXT_BYTES, WrongKind
from wan.serve.desk import Desk
from wan.serve.guard import COOKIE, App, Guard, error_body, session_of
from wan.serve.views import QueueFull, RequestRefused, UnknownEntry

INVALID = "invalid_request_error"
_LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Wan2.2 Shortcut</title><style>:root{color-scheme:light dark}
body{font-family:sans-serif;max-width:24rem;margin:20vh auto;padding:0 1rem}input,button{font-size:1rem;padding:.4rem}
</style><h1>Wan2.2 Shortcut</h1><p>%s</p><p lang="zh">%s</p><form method="post" action="/login">
<input type="password" name="token" autofocus required autocomplete="current-password" aria-label="token, 令牌">
<button>Log in 登录</button></form></html>"""
_ASKS = "This service is for those who have its token.", "本服务需要令牌。"
_WRONG = "That is not the token.", "令牌不正确。"
_LOGIN_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
_NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""Of FastAPI's own, which would send what it sees where the environment says so."""
_log = logging.getLogger("wan.serve")


def make_app(
    desk: Desk,
    *,
    token: str | None = None,
    hosts: Collection[str] | None = None,
    mount_page: Callable[[FastAPI, Desk], FastAPI] | None = None,
) -> App:
    """The whole application, guarded. ``hosts``: see ``Guard``; ``mount_page`` puts a page on /."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, telemetry=_NO_TELEMETRY)
    app.include_router(router(desk))
    if token is not None:
        _add_login(app, token)
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, answer)
    if mount_page is not None:
        app = mount_page(app, desk)
    # base64 takes a third more
    return Guard(app, token=token, hosts=hosts, max_body=desk.settings.max_upload * 4 // 3 + TEXT_BYTES)


def _add_login(app: FastAPI, token: str) -> None:
    """The token in a form, for a browser, which then keeps a cookie."""

    @app.get("/login")
    def form() -> Response:
        return _login_page(*_ASKS)

    @app.post("/login")
    async def login(request: Request) -> Response:
        given = parse_qs((await request.body()).decode("utf-8", errors="replace")).get("token", [""])[0]
        if not hmac.compare_digest(given.strip().encode("utf-8", errors="replace"), token.encode()):
            return _login_page(*_WRONG, status=401)
        answer = RedirectResponse("/", status_code=303)
        is_secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
        answer.set_cookie(COOKIE, session_of(token), httponly=True, samesite="strict", secure=is_secure, max_age=604800)
        return answer


def _login_page(english: str, chinese: str, *, status: int = 200) -> Response:
    return HTMLResponse(
        _LOGIN % (english, chinese), status_code=status, headers={"content-security-policy": _LOGIN_POLICY}
    )


def _answer(
    status: int, sentence: str, *, kind: str = INVALID, headers: dict[str, str] | None = None, **also: Any
) -> Response:
    body = error_body(status, sentence, kind=kind, **also)
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def _refused(request: Request, error: Any) -> Response:
    return _answer(400, str(error), param=getattr(error, "field", None), code="invalid_value")


def _unknown(request: Request, error: Any) -> Response:
    return _answer(404, str(error), code="not_ready" if isinstance(error, NotReady) else "not_found")


def _full(request: Request, error: Any) -> Response:
    return _answer(
        429, str(error), kind="rate_limit_error", code="queue_full", headers={"retry-after": str(error.retry_after)}
    )


def _wrong_kind(request: Request, error: Any) -> Response:
    return _answer(415, str(error))


def _of_http(request: Request, error: Any) -> Response:
    sentences = {404: f"there is no {request.url.path[:80]} here", 405: f"{request.method} is not for this address"}
    return _answer(error.status_code, sentences.get(error.status_code, str(error.detail)), headers=error.headers)


def _failed(request: Request, error: Any) -> Response:
    """What the operator has to mend; where things lie is for the log alone."""
    _log.error("%s %s failed: %s: %s", request.method, request.url.path, type(error).__name__, error)
    is_disk = isinstance(error, OSError)
    sentence = "the service's disk takes nothing now" if is_disk else "the service has failed"
    return _answer(507 if is_disk else 500, f"{sentence}; its log says why", kind="server_error")


_ANSWERS: dict[type[Exception], Callable[[Request, Any], Response]] = {
    RequestRefused: _refused,
    UnknownEntry: _unknown,
    QueueFull: _full,
    WrongKind: _wrong_kind,
    HTTPException: _of_http,
    InvalidInput: _failed,
    WanError: _failed,
    OSError: _failed,
    Exception: _failed,
}
