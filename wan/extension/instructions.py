"""What a language model is told: the instructions for each kind of prompt in English and Chinese, as text files."""

from functools import cache
from pathlib import Path
from typing import Literal

Kind = Literal["t2v", "t2i", "i2v"]
"""Text to video, text to one image, and a video that starts from a picture which the model sees."""
FOLDER = Path(__file__).parent / "instructions"

_ASKED = {
    "en": "Idea:\n{prompt}\n\nWrite the prompt in English, and nothing else.",
    "zh": "创意：\n{prompt}\n\n请用中文写出提示词，不要写任何其他内容。",
}


@cache
def instructions(kind: Kind, language: str) -> str:
    """The system message."""
    return (FOLDER / f"{kind}.{language}.txt").read_text(encoding="utf-8").strip()


def asked(prompt: str, language: str) -> str:
    """The user's message: the prompt as it was given, and the target language once more, which small models forget."""
    return _ASKED[language].format(prompt=prompt)
