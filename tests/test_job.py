"""A request made ready: the task of a folder, official exceptions, notices, variations of one job, refusals."""

from dataclasses import replace
from pathlib import Path

import pytest

from wan.commands import SOURCE_DIR
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.job import prepare, rerun, vary
from wan.loading.layouts import find_checkpoint_dir, open_checkpoint
from wan.machine import Machine
from wan.request import Request
from wan.shortcuts import BEST_HALF_FRAME, Shortcuts

DEMO = SOURCE_DIR / "checkpoints" / "t2v-demo"


def test_a_checkpoint_folder_says_which_task_it_serves() -> None:
    job = prepare(Request(ckpt_dir=DEMO, prompt="x"))
    assert job.config.name == job.request.task == "t2v-demo"
    assert job.notices == (f"no --task given: {DEMO} serves t2v-demo",)


def test_a_task_that_is_given_is_not_asked_of_the_folder(tmp_path: Path) -> None:
    assert prepare(Request(task="t2v-A14B", ckpt_dir=tmp_path / "nowhere", prompt="x")).config.name == "t2v-A14B"


def test_a_folder_that_does_not_tell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not tell which task it serves"):
        prepare(Request(ckpt_dir=tmp_path))
    with pytest.raises(InvalidInput, match=r"nowhere is not a directory"):
        prepare(Request(ckpt_dir=tmp_path / "nowhere"))


def test_a_checkpoint_of_another_published_size_is_refused_before_torch_meets_it() -> None:
    config = WAN_CONFIGS["t2v-A14B"]
    with pytest.raises(InvalidInput, match=r"the model of --task t2v-demo; --task t2v-A14B has width 5120"):
        open_checkpoint(config, find_checkpoint_dir(config, DEMO))


@pytest.mark.parametrize(
    ("size", "shift", "expected"),
    [
        ((832, 480), None, 3.0),
        ((480, 832), None, 3.0),
        ((1280, 720), None, 5.0),
        ((832, 480), 5.0, 5.0),
        (None, None, 5.0),
    ],
)
def test_i2v_14b_at_480p_has_the_official_shift_of_3(
    size: tuple[int, int] | None, shift: float | None, expected: float
) -> None:
    request = Request(task="i2v-14B", prompt="x", size=size, sample_shift=shift)
    assert prepare(request, needs_image=False).settings.shift == expected


def test_other_tasks_have_one_shift() -> None:
    for task in ("t2v-14B", "t2v-A14B", "i2v-A14B"):
        request = Request(task=task, prompt="x", size=(832, 480))
        assert prepare(request, needs_image=False).settings.shift == WAN_CONFIGS[task].sample_shift


def test_t2v_1_3b_names_the_recommended_scale_and_keeps_the_official_default() -> None:
    job = prepare(Request(task="t2v-1.3B", prompt="x"))
    assert job.settings.low_noise_guidance_scale == 5.0
    assert any("--sample_guide_scale 6 is what the makers of t2v-1.3B recommend" in line for line in job.notices)
    assert prepare(Request(task="t2v-1.3B", prompt="x", sample_guide_scale=(6.0,))).notices == ()


def test_the_worst_measured_setting_of_half_frame_says_so() -> None:
    job = prepare(Request(task="t2v-demo", prompt="x", shortcuts=Shortcuts(frame_completion="repeat")))
    (notice,) = job.notices
    assert "the worst setting measured" in notice
    assert "--frame_completion interpolate --frame_positions spread" in notice
    assert prepare(Request(task="t2v-demo", prompt="x", shortcuts=BEST_HALF_FRAME)).notices == ()


def test_a_variation_keeps_what_it_does_not_change() -> None:
    job = prepare(Request(task="t2v-demo", prompt="x", seed=5, sample_steps=10))
    other = vary(job, shortcuts=Shortcuts(cfg_truncate_steps=2))
    assert other.plan.forwards == job.plan.forwards - 2
    assert replace(other.request, shortcuts=Shortcuts()) == job.request


def test_a_rerun_goes_where_generate_puts_things_by_default() -> None:
    job = prepare(Request(task="t2v-demo", prompt="x", output_dir=Path("elsewhere"), overwrite=True, enable_debug=True))
    again = rerun(job)
    assert again == Request(task="t2v-demo", prompt="x", enable_debug=True)
    assert again.command(seed=3).endswith("--task t2v-demo --prompt x --base_seed 3 --enable_debug")


def test_a_request_needs_no_command_line() -> None:
    request = Request(task="t2v-demo", prompt="a red circle", size=(64, 64), seed=7)
    assert request.argv() == ["--task", "t2v-demo", "--prompt", "a red circle", "--size", "64*64", "--base_seed", "7"]


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (lambda: Request(debug_dtype="bfloat16"), "need --enable_debug"),
        (lambda: Request(sample_guide_scale=()), "--sample_guide_scale takes one value, or two"),
        (lambda: Shortcuts(frame_positions="spread"), "--frame_positions spread needs --enable_half_frame_generation"),
        (lambda: Shortcuts(cfg_truncate_mode="magic"), "--cfg_truncate_mode 'magic' is unknown"),
    ],
)
def test_what_contradicts_itself_is_refused_at_once(request_: object, sentence: str) -> None:
    assert callable(request_)
    with pytest.raises(InvalidInput, match=sentence):
        request_()


def test_the_record_names_what_changes_the_last_bits() -> None:
    job = prepare(Request(task="t2v-demo", machine=Machine(batch_cfg=True, compile=True)))
    assert job.record()["batch_cfg"] is job.record()["compile"] is True
    assert "--batch_cfg --compile" in job.request.command(seed=0)


@pytest.mark.parametrize("name", ["sea", "mag", "first_block"])
def test_compiled_blocks_and_a_cache_in_them_are_refused(name: str) -> None:
    request = Request(task="t2v-demo", machine=Machine(compile=True), shortcuts=Shortcuts(cache=name))
    with pytest.raises(InvalidInput, match=f"--compile and --cache {name} do not go together"):
        prepare(request)
    around = replace(request, shortcuts=Shortcuts(cache="taylor"))
    assert prepare(around).plan.cache is not None
