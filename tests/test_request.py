"""The command line: defaults per task, adjustments announced, and the sentence of every refusal."""

from pathlib import Path

import pytest

from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.job import Job, prepare
from wan.request import parse_request, request_parser


def job_of(argv: list[str], *, needs_image: bool = True) -> Job:
    return prepare(parse_request(argv), needs_image=needs_image)


def test_every_task_has_its_official_defaults() -> None:
    for name, config in WAN_CONFIGS.items():
        job = job_of(["--task", name], needs_image=False)
        assert job.settings.steps == config.sample_steps
        assert job.settings.shift == config.sample_shift
        assert job.settings.solver == "unipc"
        assert f"{job.geometry.width}*{job.geometry.height}" == config.default_size
        assert job.geometry.pixel_frames == config.frame_num
        assert job.negative_prompt == config.sample_neg_prompt
        assert job.settings.cfg_truncate_steps == job.settings.cfg_truncate_high_noise_steps == 0
        assert job.settings.frame_completion is None


def test_the_task_defaults_to_the_two_expert_model() -> None:
    assert job_of([]).config.name == "t2v-A14B"


def test_guidance_scales_are_low_then_high() -> None:
    job = job_of(["--task", "t2v-A14B"])
    assert (job.settings.low_noise_guidance_scale, job.settings.high_noise_guidance_scale) == (3.0, 4.0)
    one = job_of(["--sample_guide_scale", "5"]).settings
    assert (one.low_noise_guidance_scale, one.high_noise_guidance_scale) == (5.0, 5.0)
    two = job_of(["--sample_guide_scale", "2", "6"]).settings
    assert (two.low_noise_guidance_scale, two.high_noise_guidance_scale) == (2.0, 6.0)


def test_the_founding_spelling_of_the_step_flag_works() -> None:
    assert job_of(["--sampling_steps", "20"]).settings.steps == 20


def test_frame_num_is_adjusted_with_a_notice() -> None:
    job = job_of(["--frame_num", "1", "--prompt", "x"])
    assert job.geometry.pixel_frames == 1
    assert job.notices == ("--frame_num 1 makes a video of one frame; t2v-A14B was made for 81",)
    assert job_of(["--frame_num", "2", "--prompt", "x"]).notices == (
        "--frame_num 2 becomes 5 (t2v-A14B makes 4n+1 frames)",
    )
    assert job_of(["--task", "t2i-14B", "--prompt", "x"]).geometry.pixel_frames == 1


def test_an_unusual_size_is_accepted_with_a_notice() -> None:
    job = job_of(["--size", "512*512", "--prompt", "x"])
    assert (job.geometry.width, job.geometry.height) == (512, 512)
    assert "--size 512*512 is not one the model was made for" in job.notices[0]


def test_a_missing_prompt_means_the_example() -> None:
    job = job_of(["--task", "t2v-demo"])
    assert job.prompt == "a red circle moving right on a blue background"
    assert "no --prompt given" in job.notices[0]
    assert job_of(["--task", "t2v-demo", "--prompt", ""]).prompt == ""


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--task", "t2v-15B"], "argument --task: invalid choice: 't2v-15B'"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--sample_step", "4"], "unrecognized arguments: --sample_step 4; did you mean --sample_steps"),
        (["--frame_nums=4"], "unrecognized arguments: --frame_nums=4; did you mean --frame_num"),
        (["--sample_steps", "many"], "argument --sample_steps/--sampling_steps: invalid int value"),
        (["--size", "480p"], "--size '480p' is not of the form W\\*H"),
        (["--size", "830*480"], "the nearest is 832\\*480"),
        (["--frame_num", "0"], "--frame_num 0 must be at least 1"),
        (["--offload_model", "maybe"], "'maybe' is not a boolean"),
        (["--enable_improved_frame_completion"], "needs --enable_half_frame_generation; give both"),
        (["--frame_completion", "interpolate"], "--frame_completion interpolate needs --enable_half_frame_generation"),
        (["--frame_positions", "spread"], "--frame_positions spread needs --enable_half_frame_generation"),
        (
            [
                "--enable_half_frame_generation",
                "--enable_improved_frame_completion",
                "--frame_completion",
                "repeat",
            ],
            "contradict each other; give one of them",
        ),
        (["--sample_guide_scale", "1", "2", "3"], "takes one value, or two"),
        (["--task", "ti2v-5B", "--sample_guide_scale", "1", "2"], "takes one value for --task ti2v-5B, not 2"),
        (["--save_file", "video.avi"], "--save_file video.avi must end in .mp4"),
        (["--task", "t2i-14B", "--save_file", "a.mp4"], "--save_file a.mp4 must end in .png"),
        (["--ulysses_size", "0"], "--ulysses_size 0 is no number of GPUs"),
        (["--dit_fsdp"], "--dit_fsdp is for several GPUs, and they share no work yet"),
        (["--prompt_extend_target_lang", "en"], "--prompt_extend_target_lang needs --use_prompt_extend; give it too"),
        (["--use_prompt_extend", "--prompt_extend_method", "gpt"], "argument --prompt_extend_method: invalid choice"),
    ],
)
def test_refusals(argv: list[str], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        job_of(argv)


def test_an_existing_save_file_is_kept_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"precious")
    with pytest.raises(InvalidInput, match="exists; give another name, or --overwrite"):
        job_of(["--save_file", str(path)])
    assert job_of(["--save_file", str(path), "--overwrite"]).request.save_file == path


def test_official_values_that_ask_for_nothing_are_accepted() -> None:
    job_of(["--ulysses_size", "1", "--convert_model_dtype"])


def test_help_names_no_flag_that_does_not_work() -> None:
    text = request_parser().format_help()
    assert "--cfg_truncate_steps" in text and "--ulysses_size" in text
    assert "--use_prompt_extend" in text and "--ring_size" not in text
