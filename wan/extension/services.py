"""Services that extend prompts: their address and key from the environment, checked before anything is sent."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from wan.errors import InvalidInput

DASHSCOPE_URL = "https://dashscope.aliyuncs.com/compatible-mode/v1"
OPENAI_URL = "https://api.openai.com/v1"
_DASHSCOPE_OWN_PATH, _DASHSCOPE_PATH = "/api/v1", "/compatible-mode/v1"
_GET_DASHSCOPE_KEY = "get one from Alibaba Cloud Model Studio"
_MAX_KEY = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One endpoint of chat completions. ``key_name``: the environment variable that the key is from.

    The key stands in no representation of this object, and in no sentence.
    """

    method: str
    url: str
    key_name: str
    key: str | None = field(repr=False)

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        """Host, and port where one is named."""
        return self.parts.netloc

    @property
    def is_encrypted(self) -> bool:
        return self.parts.scheme == "https"


def service_for(method: str, environment: Mapping[str, str] | None = None) -> Service:
    """The service of a method; ``InvalidInput`` without its key, or with an address that the key must not go to."""
    found = os.environ if environment is None else environment
    return _dashscope(found) if method == "dashscope" else _openai(found)


def _dashscope(environment: Mapping[str, str]) -> Service:
    name, key = _key(environment, "DASH_API_KEY", "DASHSCOPE_API_KEY")
    if key is None:
        raise InvalidInput(
            "--prompt_extend_method dashscope needs a key in the environment variable DASH_API_KEY or "
            f"DASHSCOPE_API_KEY; {_GET_DASHSCOPE_KEY}, or use --prompt_extend_method local_qwen"
        )
    url = _address(environment.get("DASH_API_URL", "").strip() or DASHSCOPE_URL, name="DASH_API_URL", key=key)
    # the official code asks another interface of the same host
    if url.endswith(_DASHSCOPE_OWN_PATH):
        url = url.removesuffix(_DASHSCOPE_OWN_PATH) + _DASHSCOPE_PATH
    return Service(method="dashscope", url=url, key_name=name, key=key)


def _openai(environment: Mapping[str, str]) -> Service:
    name, key = _key(environment, "OPENAI_API_KEY")
    given = environment.get("OPENAI_BASE_URL", "").strip()
    if key is None and not given:
        raise InvalidInput(
            "--prompt_extend_method openai needs a key in the environment variable OPENAI_API_KEY, or the address of a "
            "service that needs none in OPENAI_BASE_URL, such as http://127.0.0.1:8000/v1"
        )
    return Service(
        method="openai", url=_address(given or OPENAI_URL, name="OPENAI_BASE_URL", key=key), key_name=name, key=key
    )


def _key(environment: Mapping[str, str], *names: str) -> tuple[str, str | None]:
    """The first variable that is set, and its key; ``InvalidInput`` for what no header can hold, without showing it."""
    for name in names:
        if key := environment.get(name, "").strip():
            if not (key.isascii() and key.isprintable() and " " not in key and len(key) <= _MAX_KEY):
                raise InvalidInput(
                    f"the environment variable {name} holds no key: spaces, line breaks or other characters that keys "
                    "do not have are in it; set it again"
                )
            return name, key
    return names[0], None


def _address(url: str, *, name: str, key: str | None) -> str:
    """The address without a slash at its end; ``InvalidInput`` for what is none, or would give the key away."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https") or not (url.isascii() and url.isprintable()):
        raise InvalidInput(f"the environment variable {name} is no address; give one such as {OPENAI_URL}")
    if parts.username is not None or parts.query or parts.fragment or " " in url:
        raise InvalidInput(
            f"the environment variable {name} holds more than an address (a user, a question mark, a fragment or a "
            f"space); give one such as {OPENAI_URL}, and the key in its own variable"
        )
    if parts.scheme == "http" and key is not None and not _is_this_machine(host):
        raise InvalidInput(
            f"{name} {url} is not encrypted, and everybody on the way could read the key; use https, or unset the key "
            "if the service needs none"
        )
    return url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
