"""What is taken off an answer, what is left on it, and the sentence for every answer that is no prompt."""

import random

import pytest

from wan.errors import ExtensionFailed
from wan.extension.answers import MAX_CHARACTERS, clean_answer

PROMPT = "A red fox runs through deep snow at dawn, and the camera follows it at its side."
ZH = "一只赤狐在黎明时分跑过厚厚的积雪，镜头在它身旁跟随，光线柔和。"


@pytest.mark.parametrize(
    "answer",
    [
        PROMPT,
        f"  {PROMPT}\n",
        f'"{PROMPT}"',
        f"“{PROMPT}”",
        f"**{PROMPT}**",
        f"```\n{PROMPT}\n```",
        f"```text\n{PROMPT}```",
        f"Here is the extended prompt:\n\n{PROMPT}",
        f"Here's your prompt:\n{PROMPT}",
        f"Sure! Here is a prompt that keeps everything:\n{PROMPT}",
        f"Prompt: {PROMPT}",
        f"**Extended prompt:** {PROMPT}",
        f'Certainly:\n```\n"{PROMPT}"\n```',
        f"<think>\nThe fox must stay.\n</think>\n\n{PROMPT}",
        f"\ufeff{PROMPT}",
        PROMPT.replace(" and ", "\nand "),
    ],
)
def test_what_is_certainly_no_part_of_the_prompt_is_removed(answer: str) -> None:
    assert clean_answer(answer) == PROMPT


@pytest.mark.parametrize(
    "answer",
    [
        ZH,
        f"“{ZH}”",
        f"提示词：{ZH}",
        f"扩写后的提示词：\n{ZH}",
        f"好的，以下是提示词：\n\n{ZH}",
        ZH.replace("，", "，\n", 1),
    ],
)
def test_the_same_in_chinese(answer: str) -> None:
    assert clean_answer(answer) == ZH


@pytest.mark.parametrize(
    "prompt",
    [
        'A shop whose sign says "open" stands in the rain, and a woman reads "closed"',
        '"Open" says the sign of a shop in the rain, and the door beside it says "closed"',
        "Here is a small dog on a wide beach: it runs along the water, and the waves are calm.",
        "Certainly the largest whale of the sea rises out of the water, and the spray shines.",
        "A teacher writes on the board: the prompt: be quiet; the pupils look at her, amused.",
        "A `terminal` glows green on an old desk, and a hand types a `command` slowly, in the dark.",
    ],
)
def test_what_may_be_part_of_the_prompt_stays(prompt: str) -> None:
    assert clean_answer(prompt) == prompt


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "is empty"),
        (" \n ", "is empty"),
        ('""', "most of it are no letters"),
        ("A fox.", "it is too short"),
        ("一只狐狸", "it is too short"),
        ("I'm sorry, but I cannot help with that request today.", "the model declines"),
        ("I can’t describe this scene for you, it is not allowed.", "the model declines"),
        ("很抱歉，我无法为这个创意撰写提示词，请换一个创意。", "the model declines"),
        ('{"prompt": "A red fox runs through deep snow at dawn"}', "it is code and not prose"),
        ("<html><body>A red fox runs through deep snow at dawn</body></html>", "it is code and not prose"),
        ("1 2 3 4 5 6 7 8 9 0 ... --- ||| 1 2 3 4 5 6 7 8 a b c", "most of it are no letters"),
        ("A red fox runs. " * 40, "it says the same again and again"),
        ("狐狸在雪地里奔跑。" * 40, "it says the same again and again"),
        (f"{PROMPT}\0{PROMPT}", "characters that no text has"),
        (f"{PROMPT}\ufffd", "characters that no text has"),
    ],
)
def test_what_is_no_prompt_is_refused(answer: str, reason: str) -> None:
    with pytest.raises(ExtensionFailed, match=reason):
        clean_answer(answer)


def test_an_answer_that_is_too_long_is_refused_and_the_longest_is_not() -> None:
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(1000)]
    longest = " ".join(words)[:MAX_CHARACTERS].strip()
    assert clean_answer(longest) == longest
    with pytest.raises(ExtensionFailed, match="has 5,999 characters, and 2,500 are the most"):
        clean_answer(" ".join(words))


def test_an_unfinished_thought_is_no_prompt() -> None:
    with pytest.raises(ExtensionFailed, match="it is code and not prose"):
        clean_answer("<think>The fox must stay, and the snow, and the dawn, and then")
