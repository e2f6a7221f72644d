"""Suites: those of the package, what a file may hold, and the sentence of every refusal."""

from dataclasses import replace
from pathlib import Path

import pytest

from claims.sample import sample_clips
from wan.demo_world.words import held_out_combinations, training_combinations
from wan.errors import InvalidInput
from wan.instruments.arena.contestants import contestants_for, format_suite, suite_job
from wan.instruments.arena.suite import OTHER, OURS, PEER, load_suite, suite_names
from wan.job import open_job_checkpoint
from wan.request import Request

GOOD = """\
task: t2v-demo
base: {sample_steps: 6}
prompts: held_out
per_motion: 1
seeds: [0, 3]
methods:
  - {name: four, family: steps, role: peer, set: {sample_steps: 4, sample_guide_scale: [2, 3.5]}}
  - {name: cut, role: ours, set: {cfg_truncate_steps: 2}}
  - {name: whole, peer: {class: FirstBlockCacheConfig, args: {threshold: 0.1}}}
"""


@pytest.fixture
def suite_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_a_file_becomes_clips_and_methods(suite_file: Path) -> None:
    suite = load_suite(str(suite_file))
    assert suite.name == "mine" and len(suite.cases) == 18
    # seed by seed, so that the first clips of an unfinished run cover all motions
    assert [case.seed for case in suite.cases] == [0] * 9 + [3] * 9
    four, cut, whole = suite.entries
    assert dict(four.request) == {"sample_steps": 4, "sample_guide_scale": (2.0, 3.5)}
    assert (four.role, cut.role, whole.role) == (PEER, OURS, PEER) and cut.family == "cut"
    assert cut.shortcuts.cfg_truncate_steps == 2 and whole.peer and whole.peer.args == {"threshold": 0.1}


def test_methods_vary_the_base(suite_file: Path) -> None:
    suite = load_suite(str(suite_file))
    job = suite_job(suite, Request())
    contestants = contestants_for(suite, job)
    assert [one.name for one in contestants[:3]] == ["plain", "re-run", "another seed"]
    plans = [one.method.plan for one in contestants if one.method]
    assert [plan.forwards for plan in plans] == [12, 12, 12, 8, 10, 12]
    text = format_suite(suite, contestants, open_job_checkpoint(job).denoiser_size)
    assert "18 clips" in text and "0.833" in text and "1.000 at most" in text


def test_what_a_checkpoint_cannot_plan_stands_in_the_list(suite_file: Path) -> None:
    suite_file.write_text(GOOD.replace("sample_steps: 4", "sample_steps: 0"), encoding="utf-8")
    suite = load_suite(str(suite_file))
    four = contestants_for(suite, suite_job(suite, Request()))[3]
    assert four.method is None and four.refusal == "--sample_steps 0 must be at least 1"


@pytest.mark.parametrize("name", suite_names())
def test_the_suites_of_the_package_are_valid_and_report_on_held_out_prompts(name: str) -> None:
    suite = load_suite(name)
    held_out = {one.caption() for one in held_out_combinations()}
    assert {case.prompt for case in suite.cases} <= held_out
    # the open experiments are held against the peers, and are none of ours
    assert {one.role for one in suite.entries} >= {PEER, OTHER if name == "experiments" else OURS}
    peers = {one.family for one in suite.entries if one.role == PEER}
    assert {"SeaCache", "fewer steps (UniPC)"} <= peers


TRANSFERS = [name for name in suite_names() if name.startswith("transfer-")]


@pytest.mark.parametrize("name", TRANSFERS)
def test_a_transfer_suite_has_the_same_methods_and_one_change(name: str) -> None:
    suite, others = load_suite(name), load_suite("transfer-seeds")
    assert [(one.name, one.family, one.role) for one in suite.entries] == [
        (one.name, one.family, one.role) for one in others.entries
    ]
    assert len(suite.base) == (0 if name == "transfer-seeds" else 1)
    steps = suite.base.get("sample_steps", 20)
    for one in suite.entries:
        if one.role == OURS:
            count, budget = int(one.name.split()[2]), one.shortcuts.budget
            assert budget is not None and budget < 1 and int(budget * steps + 1e-9) == count, one.name


def test_transfer_is_measured_to_all_that_a_plan_is_carried_to() -> None:
    changes = [dict(load_suite(name).base) for name in TRANSFERS]
    expected = [
        {},
        *({"sample_steps": steps} for steps in (16, 30, 40)),
        *({"sample_guide_scale": scales} for scales in ((2.0, 3.0), (4.0, 5.0))),
        *({"frame_num": frames} for frames in (25, 81)),
    ]
    assert sorted(map(repr, changes)) == sorted(map(repr, expected))
    assert {case.seed for case in load_suite("transfer-seeds").cases} == {2, 3}


def test_what_a_file_does_not_say_is_as_in_the_suite_that_it_is_like(suite_file: Path) -> None:
    suite_file.write_text("like: quick\nseeds: [4]\n", encoding="utf-8")
    suite, quick = load_suite(str(suite_file)), load_suite("quick")
    assert suite.entries == quick.entries and {case.seed for case in suite.cases} == {4}
    suite_file.write_text("like: mine\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="line 1, like: 'mine' is none of experiments, full, quick"):
        load_suite(str(suite_file))


def test_the_full_suite_has_the_clips_of_every_other_table() -> None:
    suite = load_suite("full")
    assert set(suite.cases) == {clip.case for clip in sample_clips()} and len(suite.cases) == 36


TRAINED = training_combinations()[0].caption()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("task: t2v-demo", "tusk: t2v-demo", "line 1, tusk: it is no key of a suite; did you mean task?"),
        ("t2v-demo", "t2v-99B", "line 1, task: 't2v-99B' is no task"),
        ("t2v-demo", "t2v-A14B", "prompts: held_out prompts are the demo model's"),
        (
            "prompts: held_out\nper_motion: 1",
            f"prompts: ['{TRAINED}']",
            "is a training prompt, which plans are tuned on",
        ),
        ("held_out\nper_motion: 1", "[]", "prompts: [] must be a list that is not empty"),
        ("held_out\nper_motion: 1", "[a, a]", "a list of different texts"),
        ("held_out", "['a red circle']", "per_motion: it is for `prompts: held_out`"),
        ("per_motion: 1", "per_motion: 0", "per_motion: 0 must be a whole number from 1 on"),
        ("[0, 3]", "[0, -3]", "seeds: [0, -3] must be different whole numbers from 0 on"),
        ("[0, 3]", "[3, 3]", "seeds: [3, 3] must be different"),
        (
            "sample_steps: 4",
            "sample_step: 4",
            "line 7, sample_step: it is no key that 'four' can set; did you mean sampl",
        ),
        ("sample_steps: 4", "sample_steps: 4.5", "line 7, methods[1].set.sample_steps: 4.5: it is no int"),
        ("sample_steps: 4", "sample_steps: yes", "methods[1].set.sample_steps: True: it takes no truth value"),
        ("sample_steps: 4", "sample_solver: heun", "'heun': choose one of unipc"),
        ("sample_steps: 4", "sample_steps: [4]", "it takes one value, not list"),
        ("sample_steps: 4", "prompt: x", "prompt: it is no key that 'four' can set"),
        ("cfg_truncate_steps: 2", "frame_positions: spread", "methods[2].set: 'cut': --frame_positions spread needs"),
        ("role: ours", "role: hero", "methods[2].role: 'hero' is unknown; choose one of peer, ours, other"),
        ("name: cut", "name: four", "methods[2].name: 'four' is there already"),
        ("name: cut", "name: plain", "methods[2].name: 'plain' is always made"),
        ("name: cut", "name: 7", "methods[2].name: 7 must be a text"),
        ("name: cut", "name: cut, name: cut", "line 8: the key 'name' stands twice"),
        ("class: FirstBlockCacheConfig", "klass: x", "klass: it is no key of a peer; did you mean class?"),
        ("role: ours", "role: ours, set: 3", "stands twice"),
        ("base: {sample_steps: 6}", "base: {cfg_truncate_steps: 2}", "it is no key that base can set"),
        ("seeds: [0, 3]", "seeds: [0, 3", "it must be valid YAML"),
    ],
)
def test_a_refusal_names_file_line_and_rule(old: str, new: str, sentence: str, suite_file: Path) -> None:
    assert old in GOOD
    suite_file.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InvalidInput) as refused:
        load_suite(str(suite_file))
    assert str(refused.value).startswith(f"{suite_file}, line ") and sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_empty_file_and_a_name_that_is_none(suite_file: Path) -> None:
    suite_file.write_text("", encoding="utf-8")
    with pytest.raises(InvalidInput, match="a suite is a mapping with the keys"):
        load_suite(str(suite_file))
    with pytest.raises(InvalidInput, match="--suite nothing is neither a file nor one of experiments, full, quick"):
        load_suite("nothing")


def test_a_base_that_cannot_be_made_is_refused(suite_file: Path) -> None:
    suite = load_suite(str(suite_file))
    with pytest.raises(InvalidInput, match="--sample_steps 0 must be at least 1"):
        suite_job(replace(suite, base={"sample_steps": 0}), Request())


@pytest.mark.parametrize("content", ["like: \0\n", "? [a]\n: b\n", "seeds: [2026-99-99]\n", "a: " + "[" * 10_000])
def test_what_the_reader_of_yaml_stumbles_over_is_refused(content: str, suite_file: Path) -> None:
    suite_file.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"suite.yaml|\.yaml") as refusal:
        load_suite(str(suite_file))
    assert "\n" not in str(refusal.value)
