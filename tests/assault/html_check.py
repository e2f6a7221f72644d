"""What a page would do, by a real HTML parser: no script, handler, frame or address that is not the page's own."""

from html.parser import HTMLParser

_HEAD = {"html", "head", "meta", "title", "style", "body"}
_TEXT = {"h1", "h2", "h3", "h4", "p", "br", "nav", "ol", "li", "a", "section", "div", "pre", "span", "strong"}
_TABLES = {"table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "details", "summary"}
_PICTURES = {"figure", "figcaption", "img", "video", "svg", "g", "rect", "line", "text"}
ALLOWED_TAGS = frozenset(_HEAD | _TEXT | _TABLES | _PICTURES)
_ADDRESSES = ("src", "href", "action", "formaction", "data", "poster", "srcset", "srcdoc", "xlink:href", "background")
_EMBEDDED = ("data:image/png;base64,", "data:video/mp4;base64,")
_METAS = ("charset", "content-security-policy", "viewport")
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that change the order in which the text after them is shown."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.is_body = False
        self.heads = {"meta": 0, "style": 0, "title": 0}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ALLOWED_TAGS:
            self.faults.append(f"a <{tag}>")
        self.is_body = self.is_body or tag == "body"
        if tag in self.heads and not (tag == "title" and self.is_body):  # pictures have titles, too
            self.heads[tag] += 1
        for name, value in attrs:
            if name.startswith("on"):
                self.faults.append(f"a handler {name} in <{tag}>")
            elif name in _ADDRESSES and not (value or "").startswith(("#", *_EMBEDDED)):
                self.faults.append(f"an address {value!r} in <{tag}>")
            elif name == "style" and not (value or "").startswith(("max-width: ", "width: ")):
                self.faults.append(f"a style {value!r} in <{tag}>")

    def handle_comment(self, data: str) -> None:
        self.faults.append(f"a comment {data!r}")


def fault_of_page(text: str) -> str | None:
    """What is in a report page that should not be."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    if reader.faults:
        return "; ".join(reader.faults[:5])
    if reader.heads != {"meta": len(_METAS), "style": 1, "title": 1}:
        return f"it has other parts in its head: {reader.heads}"
    found = sorted({f"U+{ord(character):04X}" for character in text if character in BIDI})
    if found:
        return f"characters that turn the text after them round: {', '.join(found)}"
    return None if "default-src 'none'" in text else "it has lost its policy"
