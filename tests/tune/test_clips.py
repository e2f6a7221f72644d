"""Clips: those of verification share no prompt with tuning, none is reported on, and too few are refused."""

from pathlib import Path

import pytest

from wan.demo_world.words import held_out_combinations
from wan.errors import InvalidInput
from wan.tune.clips import PROMPTS, TUNING_SEED, VERIFICATION_SEED, clips_from_file, default_clips, demo_clips


@pytest.mark.parametrize(("tuning", "verification"), [(24, 36), (2, 2), (100, 300)])
def test_verification_shares_no_prompt_with_tuning(tuning: int, verification: int) -> None:
    own = demo_clips(tuning, draw=TUNING_SEED)
    others = default_clips(verification, draw=VERIFICATION_SEED, is_demo=True, other_than=own)
    assert (len(own), len(others)) == (tuning, verification)
    prompts = [{clip.prompt for clip in clips} for clips in (own, others)]
    assert list(map(len, prompts)) == [tuning, verification] and not prompts[0] & prompts[1]


def test_no_clip_is_one_that_results_are_reported_on() -> None:
    held_out = {one.caption() for one in held_out_combinations()}
    clips = [*demo_clips(200, draw=TUNING_SEED), *demo_clips(200, draw=VERIFICATION_SEED)]
    assert not held_out & {clip.prompt for clip in clips}
    assert min(clip.seed for clip in clips) >= 1000
    assert not [clip for clip in clips if "circle spinning" in clip.prompt]


def test_a_draw_is_the_same_every_time() -> None:
    assert demo_clips(5, draw=1) == demo_clips(5, draw=1) != demo_clips(5, draw=2)


def test_every_motion_has_its_turn() -> None:
    words = [clip.prompt.split(" on a ")[0].split(" ", 3)[3] for clip in demo_clips(9, draw=1)]
    assert len(set(words)) == 9


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(InvalidInput, match="5000 clips are more than the 918 that the demo model has"):
        demo_clips(5000, draw=1)


def test_our_own_prompts_serve_other_models() -> None:
    tuning = default_clips(12, draw=TUNING_SEED, is_demo=False)
    others = default_clips(12, draw=VERIFICATION_SEED, is_demo=False, other_than=tuning)
    assert {clip.prompt for clip in (*tuning, *others)} == set(PROMPTS)
    with pytest.raises(InvalidInput, match="holds 24 different prompts; 13 for tuning and as many for verification"):
        default_clips(13, draw=TUNING_SEED, is_demo=False)


def test_a_file_is_split_between_tuning_and_verification(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\ufeff# a comment\none\ntwo\n\nthree\none\n  four\n", encoding="utf-8")
    drawn = [[clip.prompt for clip in clips_from_file(path, 2, draw=draw)] for draw in (1, 2)]
    assert drawn == [["two", "four"], ["one", "three"]]
    with pytest.raises(InvalidInput, match=r"holds 4 different prompts; 3 for tuning .* need 6: add some, or lower"):
        clips_from_file(path, 3, draw=1)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.txt cannot be read as UTF-8 text .* give a text file"):
        clips_from_file(tmp_path / "nowhere.txt", 1, draw=1)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InvalidInput, match=r"latin\.txt cannot be read as UTF-8 text"):
        clips_from_file(tmp_path / "latin.txt", 1, draw=1)
