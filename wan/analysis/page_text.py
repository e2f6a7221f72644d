"""Text of a record as text of a page: whoever wrote it, it is shown as it is, does nothing, and turns nothing round."""

from html import escape

_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_BY_NUMBER = {ord(character): f"[U+{ord(character):04X}]" for character in _TURNS}


def escaped(text: str) -> str:
    """Text for HTML, also inside of an attribute.

    Characters that change the order in which the text after them is shown are written as their numbers: a command on
    the page could read otherwise than it runs.
    """
    return escape(text.translate(_BY_NUMBER))
