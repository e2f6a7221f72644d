"""What a client posts, read into plain fields and one picture: JSON, or a form with files (multipart)."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from wan.serve.openai_fields import IMAGE, with_truth_values
from wan.serve.views import RequestRefused
from wan.untrusted.json_text import parse_json
from wan.untrusted.refusal import Refused

MOST_FIELDS = 64
TEXT_BYTES = 2**20
"""A field of a form, and all that is no picture in a JSON body, has at most so many bytes."""
_NESTED = re.compile(r"([^\[\]]+)(?:\[([^\[\]]*)\])?")
_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
_SHOWN = 40


class WrongKind(Exception):
    """The body is of a kind that is not read here."""


async def read_body(request: Request) -> tuple[dict[str, Any], bytes | None]:
    """(fields, picture); ``RequestRefused`` for what is damaged, ``WrongKind`` for another content type."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return _from_json(await request.body())
    if kind == "multipart/form-data":
        return await _from_form(request)
    raise WrongKind(f"{kind[:_SHOWN] or 'a body without a content type'}: send application/json or multipart/form-data")


def _from_json(content: bytes) -> tuple[dict[str, Any], bytes | None]:
    try:
        body = parse_json(content)
    except Refused as error:
        raise RequestRefused(f"the body is no JSON object: {error}") from None
    if not isinstance(body, dict):
        raise RequestRefused('the body is no JSON object; it looks like {"prompt": "a red circle"}')
    return _without_image(body)


async def _from_form(request: Request) -> tuple[dict[str, Any], bytes | None]:
    body: dict[str, Any] = {}
    image = None
    async with request.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=TEXT_BYTES) as form:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                _put(body, name, value)
            elif name == IMAGE:
                image = await value.read()
            else:
                raise RequestRefused(f'"{name[:_SHOWN]}" takes no file; the picture goes into "{IMAGE}"', field=name)
    fields, linked = _without_image(with_truth_values(body))
    if image is not None and linked is not None:
        raise RequestRefused(f'"{IMAGE}" stands in the form twice', field=IMAGE)
    return fields, linked if image is None else image


def _put(body: dict[str, Any], name: str, value: str) -> None:
    """One field of a form. ``a[b]`` is the field b of an object a, as OpenAI's client writes it, ``a[]`` a list's."""
    match = _NESTED.fullmatch(name)
    if match is None:
        raise RequestRefused(f'"{name[:_SHOWN]}" is no name of a field', field=name)
    outer, inner = match[1], match[2]
    if inner is None:
        _set(body, outer, value)
    elif inner:
        _set(_inside(body, outer, dict), inner, value)
    else:
        _inside(body, outer, list).append(value)


def _inside(body: dict[str, Any], name: str, kind: type) -> Any:
    found = body.setdefault(name, kind())
    if not isinstance(found, kind):
        raise RequestRefused(f'"{name[:_SHOWN]}" stands in the form twice', field=name)
    return found


def _set(place: dict[str, Any], name: str, value: str) -> None:
    if name in place:
        raise RequestRefused(f'"{name[:_SHOWN]}" stands in the form twice', field=name)
    place[name] = value


def _without_image(body: Mapping[str, Any]) -> tuple[dict[str, Any], bytes | None]:
    """A picture may also stand in the fields, as a data URL: no address is ever opened."""
    fields = {name: value for name, value in body.items() if name != IMAGE}
    given = body.get(IMAGE)
    if given is None:
        return fields, None
    url = given.get("image_url") if isinstance(given, dict) and given.keys() == {"image_url"} else given
    match = _DATA_URL.match(url) if isinstance(url, str) else None
    if match is None or not isinstance(url, str):
        raise RequestRefused(
            f'"{IMAGE}" is a file of a form, or {{"image_url": "data:image/png;base64,..."}}; no address is opened and '
            "no file of the service can be named",
            field=IMAGE,
        )
    try:
        return fields, base64.b64decode(url[match.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise RequestRefused(f'"{IMAGE}" holds a data URL that is not base64', field=IMAGE) from None
