"""A language model's answer made a prompt: what is certainly no part of it is taken off, nonsense is refused."""

import re
import zlib

from wan.errors import ExtensionFailed
from wan.untrusted.refusal import shown

MAX_CHARACTERS = 2500
"""About what a model reads of a prompt."""
_MIN_WEIGHT = 20
_CJK_WEIGHT = 3
"""Letters of a Latin script that one Chinese character stands for."""
_LETTERS = 0.6
_REPEATING = 0.2
"""Compressed size over size: prose of a hundred words stays above 0.4, a loop falls below 0.1."""
_JUDGED_BYTES = 200

_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"```[\w-]*\n(.*?)\n?```", re.DOTALL)
# a line of its own that announces what follows, and a label in front of it
_LEAD_IN = re.compile(
    r"(?:(?:sure|certainly|of course|okay|ok|absolutely)\b|here(?:'s|’s| is| are)\b|below is\b"
    r"|好的|当然|没问题|以下是|下面是|这是)[^\n]{0,120}?(?::|：)[ \t]*\n+",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:\*\*)?(?:(?:extended|enhanced|expanded|rewritten|final|video)[ -]){0,2}prompt(?:\*\*)?[ \t]*:(?:\*\*)?\s*"
    r"|(?:\*\*)?(?:(?:扩写|改写|优化|扩展|润色|最终)后?的?)?(?:视频|图像)?提示词(?:\*\*)?[ \t]*[:：](?:\*\*)?\s*",
    re.IGNORECASE,
)
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "『": "』", "«": "»", "`": "`"}
_DECLINED = re.compile(
    r"(?:i['’]m sorry|i am sorry|sorry,|i can(?:no|['’])t\b|i['’]m unable|i am unable|as an ai\b"
    r"|(?:很|非常)?抱歉|对不起|我无法|我不能|作为(?:一个|一名)?(?:ai|人工智能))",
    re.IGNORECASE,
)


def clean_answer(answer: str) -> str:
    """The prompt in an answer, as one paragraph; ``ExtensionFailed`` says why there is none."""
    if "\0" in answer or "\ufffd" in answer:
        raise ExtensionFailed(f"the model's answer holds characters that no text has ({shown(answer, 60)!r})")
    text = _paragraph(_unwrapped(answer))
    if not text:
        raise ExtensionFailed("the model's answer is empty")
    if reason := _why_no_prompt(text):
        raise ExtensionFailed(f"the model's answer is no prompt: {reason} ({shown(text, 60)!r})")
    return text


def _unwrapped(answer: str) -> str:
    """The answer without thoughts, fences, announcements and quotation marks around the whole."""
    text = _THOUGHT.sub("", answer, count=1) if answer.lstrip().startswith("<think>") else answer
    before = None
    while text != before:
        before, text = text, text.strip().removeprefix("\ufeff")
        if fenced := _FENCE.fullmatch(text):
            text = fenced[1].strip()
        for opening in (_LEAD_IN, _LABEL):
            if (found := opening.match(text)) and found.end() < len(text):
                text = text[found.end() :].strip()
        text = _without_marks(text)
    return text


def _without_marks(text: str) -> str:
    """Quotation marks or stars off, where they embrace all of the text and nothing but its ends."""
    if len(text) > 4 and text.startswith("**") and text.endswith("**") and "**" not in text[2:-2]:
        return text[2:-2].strip()
    if len(text) < 3 or _QUOTES.get(text[0]) != text[-1]:
        return text
    inside = text[1:-1]
    # "A sign says "open"" and 'the dog's bone' keep theirs: whose they are is not certain
    return text if text[0] in inside or text[-1] in inside else inside.strip()


def _paragraph(text: str) -> str:
    """One line: breaks become spaces, between Chinese characters nothing."""
    text = re.sub(r"(?<=[\u3000-\u9fff\uff00-\uffef])\s*\n\s*(?=[\u3000-\u9fff\uff00-\uffef])", "", text)
    return re.sub(r"\s+", " ", text).strip()


def _why_no_prompt(text: str) -> str | None:
    """The reason, for a text that cannot be meant as a prompt."""
    if len(text) > MAX_CHARACTERS:
        return f"it has {len(text):,} characters, and {MAX_CHARACTERS:,} are the most"
    if text.startswith(("{", "[", "<")):
        return "it is code and not prose"
    if _DECLINED.match(text):
        return "the model declines"
    visible = text.replace(" ", "")
    letters = [character for character in visible if character.isalpha()]
    if len(letters) < _LETTERS * len(visible):
        return "most of it are no letters"
    if sum(_CJK_WEIGHT if "\u3400" <= letter <= "\u9fff" else 1 for letter in letters) < _MIN_WEIGHT:
        return "it is too short"
    data = text.encode("utf-8", errors="replace")
    if len(data) >= _JUDGED_BYTES and len(zlib.compress(data, 9)) < _REPEATING * len(data):
        return "it says the same again and again"
    return None
