"""The instructions: one for every kind and language, each with the rules that a good prompt needs."""

import re
from typing import get_args

import pytest

from wan.extension.answers import clean_answer
from wan.extension.instructions import FOLDER, Kind, asked, instructions
from wan.prompt_extension import LANGUAGES

ALL = [(kind, language) for kind in get_args(Kind) for language in LANGUAGES]
# subject, scene, light, style; keep; contradict; alone
NEEDED = {
    "en": ("Subject", "Scene", "Light", "tyle", "Keep everything", "80 to 120 words", "Answer with the prompt alone"),
    "zh": ("主体", "场景", "光线", "风格", "保留创意中提到的一切", "120 到 200 个汉字", "只回答提示词本身"),
}


@pytest.mark.parametrize(("kind", "language"), ALL)
def test_every_instruction_has_its_rules(kind: Kind, language: str) -> None:
    text = instructions(kind, language)
    assert [word for word in NEEDED[language] if word not in text] == []


def test_every_file_is_read_and_no_other_lies_there() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{kind}.{language}.txt" for kind, language in ALL}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_both_languages_say_as_much(kind: Kind) -> None:
    rules = [len(re.findall(r"^(?:- |\d\. )", instructions(kind, language), flags=re.M)) for language in LANGUAGES]
    assert rules[0] == rules[1] >= 12


def test_the_examples_are_prompts_of_the_length_that_they_ask_for() -> None:
    english = re.search(r"^Example of a prompt: (.*)$", instructions("t2v", "en"), flags=re.M)
    chinese = re.search(r"^提示词示例：(.*)$", instructions("t2v", "zh"), flags=re.M)
    assert english and chinese
    assert clean_answer(english[1]) == english[1] and clean_answer(chinese[1]) == chinese[1]
    assert 80 <= len(english[1].split()) <= 120
    assert 120 <= len(re.findall(r"[\u4e00-\u9fff]", chinese[1])) <= 200


@pytest.mark.parametrize(("language", "last"), [("en", "English"), ("zh", "中文")])
def test_the_idea_is_passed_on_as_it_is(language: str, last: str) -> None:
    idea = 'a {cat} says "100 % {0}"'
    assert idea in asked(idea, language) and last in asked(idea, language)
