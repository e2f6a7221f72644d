"""Run folders: names in any script, their length in bytes, and collisions."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from wan.errors import InvalidInput
from wan.runs.folders import claim_directory, create_run_directory, prompt_slug

NOW = datetime(2026, 11, 20, 9, 5, 7)


@pytest.mark.parametrize(
    ("prompt", "slug"),
    [
        ("a red circle moving right", "a-red-circle-moving-right"),
        ("  A cat's  café -- 4K!! ", "A-cat-s-café-4K"),
        ("e\u0301te\u0301", "été"),
        ("一只猫，在公园里走路。", "一只猫-在公园里走路"),
        ("नमस्ते दुनिया", "नमस्ते-दुनिया"),
        ("../../etc/passwd\n\0", "etc-passwd"),
        ("a_b:c*d?e\\f", "a-b-c-d-e-f"),
        ("", "untitled"),
        ("🎬 !!!", "untitled"),
        ("\udce9", "untitled"),
    ],
)
def test_slug(prompt: str, slug: str) -> None:
    assert prompt_slug(prompt) == slug


@pytest.mark.parametrize("character", ["x", "é", "猫", "𠜎"])
def test_slug_is_cut_at_sixty_bytes_between_characters(character: str) -> None:
    slug = prompt_slug(character * 200)
    size = len(character.encode())
    assert slug == character * (60 // size)


def test_a_cut_does_not_end_in_a_dash() -> None:
    assert prompt_slug("x" * 59 + " y") == "x" * 59


def test_name(tmp_path: Path) -> None:
    directory = create_run_directory(tmp_path / "new" / "outputs", task="t2v-demo", prompt="红色 circle", now=NOW)
    assert directory == tmp_path / "new" / "outputs" / "t2v-demo_20261120-090507_红色-circle"
    assert directory.is_dir()


def test_whole_name_stays_under_two_hundred_bytes(tmp_path: Path) -> None:
    names = [create_run_directory(tmp_path, task="t" * 300, prompt="猫" * 99, now=NOW).name for _ in range(12)]
    assert max(len(name.encode()) for name in names) <= 200
    assert len(set(names)) == 12


def test_collisions_count_up(tmp_path: Path) -> None:
    names = [create_run_directory(tmp_path, task="t2v-demo", prompt="cat", now=NOW).name for _ in range(3)]
    stem = "t2v-demo_20261120-090507_cat"
    assert names == [stem, f"{stem}-2", f"{stem}-3"]


def test_runs_that_start_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda _: create_run_directory(tmp_path, task="t2v-demo", prompt="cat", now=NOW), range(40))
        )
    assert len(set(made)) == 40


def test_output_dir_that_is_a_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("")
    with pytest.raises(InvalidInput, match=r"--output_dir .*outputs cannot hold a run folder .*give another one"):
        create_run_directory(tmp_path / "outputs", task="t2v-demo", prompt="cat", now=NOW)


def test_an_empty_folder_that_was_claimed_is_another_ones(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    claimed = [claim_directory(tmp_path / "results", flag="--output_dir") for _ in range(3)]
    assert [path.name for path in claimed] == ["results", "results-2", "results-3"]
