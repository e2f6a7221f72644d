"""Texts that want to be run when they are shown, and records in which each stands in one place after the other."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MARK = "data-assault"
"""An attribute of the page's root that a payload sets when anything runs it."""
RUN = f"document.documentElement.setAttribute('{MARK}','ran');document.title='ran'"
_BIDI = "\u202e\u2066\u202d\u2069\u200f"
PAYLOADS: dict[str, str] = {
    "script": f"<script>{RUN}</script>",
    "script in a comment": f"--><!--><script>{RUN}</script>",
    "end of style and title": f"</style></title><script>{RUN}</script>",
    "end of textarea, pre and svg": f"</pre></svg></textarea><script>{RUN}</script>",
    "image that fails": f'<img src=x onerror="{RUN}">',
    "svg": f'<svg onload="{RUN}"><animate onbegin="{RUN}" attributeName=x dur=1s></svg>',
    "quote and handler": f'" onmouseover="{RUN}" onfocus="{RUN}" autofocus tabindex=1 x="',
    "apostrophe and handler": f"' onmouseover='{RUN.replace(chr(39), chr(34))}' x='",
    "unquoted handler": f"x onmouseover={RUN.replace(' ', '')} ",
    "javascript link": f"javascript:{RUN}",
    "link": f'<a href="javascript:{RUN}" id=x>click</a>',
    "javascript link in a tag": f'"><a href="java\tscript:{RUN}">click</a>',
    "data link": f"data:text/html,<script>{RUN}</script>",
    "frame": f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    "base and meta": f'<base href="http://127.0.0.1:9/"><meta http-equiv=refresh content="0;url=javascript:{RUN}">',
    "form": f'<form action="javascript:{RUN}"><button autofocus>send</button></form>',
    "entities": f"&lt;script&gt;{RUN}&lt;/script&gt;&#60;script&#62;{RUN}&#60;/script&#62;",
    "full-width brackets": f"\uff1cscript\uff1e{RUN}\uff1c/script\uff1e",
    "bidi": f"{_BIDI}<script>{RUN}</script>{_BIDI}",
    "NUL and controls": f"\0\x01\x1b[31m<script\0>{RUN}</script>",
    "lone surrogate": f"\udc80<script>{RUN}</script>",
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where plain values stand in a record; of long lists the first two entries."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from places(entry, (*path, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value[:2]):
            yield from places(entry, (*path, index))
    else:
        yield path


def with_value(record: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy of a record with another value in one place."""
    made = copy.deepcopy(record)
    section = made
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    return made


def with_keys(record: dict[str, Any], payload: str) -> dict[str, Any]:
    """A copy of a record in which every section has the payload as a further name."""
    made = copy.deepcopy(record)
    for section in (made, *(value for value in made.values() if isinstance(value, dict))):
        section[payload] = payload
    return made


def write(path: Path, record: dict[str, Any]) -> None:
    """As JSON; a lone surrogate as its escape."""
    path.write_text(json.dumps(record), encoding="utf-8")
