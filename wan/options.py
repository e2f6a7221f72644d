"""The command line: flags to frozen options, and every refusal that needs no weights (the official names stay here)."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from wan.configs import WAN_CONFIGS, TaskConfig, parse_size
from wan.errors import InvalidInput
from wan.image_input import image_path, open_image
from wan.machine import MachineOptions, machine_options
from wan.machine import add_machine_flags as add_machine_flags
from wan.sampling.geometry import Geometry, geometry_for
from wan.sampling.guidance import TRUNCATION_MODES
from wan.sampling.image_size import image_geometry
from wan.sampling.policies import FRAME_COMPLETIONS, HALF_FRAME_STRIDES
from wan.sampling.schedule import SOLVER_NAMES
from wan.settings import DEFAULT_TRUNCATION_MODE, SamplingSettings, settings_from

# official flags whose machinery is not in this version, with the value that asks for nothing
_NOT_YET = {
    "ulysses_size": 1,
    "t5_fsdp": False,
    "dit_fsdp": False,
    "use_prompt_extend": False,
    "prompt_extend_method": None,
    "prompt_extend_model": None,
    "prompt_extend_target_lang": None,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """One request, validated: what to make, from which checkpoint, how to sample it, where to put it."""

    config: TaskConfig
    prompt: str
    negative_prompt: str
    seed: int
    image: Path | None
    geometry: Geometry
    settings: SamplingSettings
    ckpt_dir: str | None
    device: str | None
    dtype: str | None
    machine: MachineOptions
    t5_cpu: bool
    batch_cfg: bool
    output_dir: Path
    save_file: Path | None
    overwrite: bool
    dry_run: bool
    quiet: bool
    list_vocabulary: bool
    enable_debug: bool
    debug_output_dir: Path
    debug_dtype: str
    notices: tuple[str, ...]

    @property
    def offload_model(self) -> bool:
        """The official flag: whether an expert leaves the device after its stage."""
        return self.machine.offload != "none"


def parse_options(argv: Sequence[str]) -> Options:
    """Flags to ``Options``; ``InvalidInput`` carries the one sentence that a user reads."""
    return options_from(build_parser().parse_args(argv))


def options_from(args: argparse.Namespace) -> Options:
    """Parsed flags to ``Options``; tools that share flags with generate.py fill the namespace in themselves."""
    _refuse_unavailable(args)
    config = WAN_CONFIGS[args.task]
    notices: list[str] = []
    geometry = _geometry(args, config, notices)
    if args.prompt is None:
        notices.append(f"no --prompt given, using the example prompt: {config.example_prompt!r}")
    return Options(
        config=config,
        prompt=config.example_prompt if args.prompt is None else args.prompt,
        negative_prompt=args.negative_prompt or config.sample_neg_prompt,
        seed=args.base_seed,
        image=image_path(config, args.image, dry_run=args.dry_run),
        geometry=geometry,
        settings=_settings(args, config),
        ckpt_dir=args.ckpt_dir,
        device=args.device,
        dtype=args.dtype,
        machine=machine_options(args),
        t5_cpu=args.t5_cpu,
        batch_cfg=args.batch_cfg,
        output_dir=Path(args.output_dir),
        save_file=_save_file(args, config),
        overwrite=args.overwrite,
        dry_run=args.dry_run,
        quiet=args.quiet,
        list_vocabulary=args.list_vocabulary,
        enable_debug=args.enable_debug,
        debug_output_dir=Path(args.debug_output_dir or Path(args.output_dir) / "debug_outputs"),
        debug_dtype=args.debug_dtype or "float32",
        notices=tuple(notices),
    )


class Parser(argparse.ArgumentParser):
    """argparse that reports a bad flag like every other bad input: one sentence, exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(f"{message} (see `python {self.prog} --help`)")


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``generate.py``."""
    parser = Parser(
        prog="generate.py",
        description="Generate a video with Wan2.2, optionally with training-free shortcuts.",
        epilog="Example: python generate.py --task t2v-demo --prompt 'a red circle moving right on a blue background'",
        allow_abbrev=False,
    )
    _add_request_flags(parser.add_argument_group("what to generate"))
    add_sampling_flags(parser.add_argument_group("sampling"))
    add_shortcut_flags(parser.add_argument_group("shortcuts (all off by default)"))
    add_machine_flags(parser.add_argument_group("machine"))
    _add_output_flags(parser.add_argument_group("output"))
    _add_debug_flags(parser.add_argument_group("debug"))
    for name, default in _NOT_YET.items():
        parser.add_argument(f"--{name}", nargs="?", const=True, default=default, help=argparse.SUPPRESS)
    return parser


def _add_request_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--task", default="t2v-A14B", choices=sorted(WAN_CONFIGS), help="model and task (%(default)s)")
    group.add_argument("--ckpt_dir", help="checkpoint folder, official or diffusers layout (t2v-demo brings its own)")
    group.add_argument("--prompt", help="what to show; without it, the task's example prompt")
    group.add_argument("--negative_prompt", default="", help="what to avoid; empty: the task's default negative prompt")
    group.add_argument("--image", help="image that the video starts from (i2v tasks, ti2v-5B)")
    group.add_argument("--size", help="W*H in pixels; with --image an area, in the image's aspect; default: the task's")
    group.add_argument("--frame_num", type=int, help="pixel frames; brought to the nearest 4n+1; default: the task's")
    group.add_argument("--base_seed", type=int, default=-1, help="random seed; negative: a random one (%(default)s)")


def add_sampling_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--sample_solver", default="unipc", choices=SOLVER_NAMES, help="(%(default)s)")
    group.add_argument("--sample_steps", "--sampling_steps", type=int, help="denoising steps; default: the task's")
    group.add_argument("--sample_shift", type=float, help="shift of the sigma grid; default: the task's")
    group.add_argument(
        "--sample_guide_scale",
        type=float,
        nargs="+",
        metavar="SCALE",
        help="guidance scale: one for both experts, or two: low noise, high noise; default: the task's",
    )
    group.add_argument("--batch_cfg", action="store_true", help="both guidance passes in one forward (more memory)")


def add_shortcut_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--cfg_truncate_steps", type=int, default=0, metavar="N", help="skip a guidance pass in the last N steps"
    )
    group.add_argument(
        "--cfg_truncate_high_noise_steps",
        type=int,
        default=0,
        metavar="M",
        help="skip a guidance pass in the last M steps of the high-noise expert",
    )
    group.add_argument(
        "--cfg_truncate_mode",
        choices=tuple(TRUNCATION_MODES),
        default=DEFAULT_TRUNCATION_MODE,
        help="what stands in for the skipped pass (%(default)s; see docs/cfg-truncation.md)",
    )
    group.add_argument(
        "--enable_half_frame_generation",
        action="store_true",
        help="the high-noise expert works on every second latent frame; the others are filled at the expert switch",
    )
    group.add_argument(
        "--enable_improved_frame_completion",
        action="store_true",
        help="fill with the denoised previous frame under the position's own noise (docs/half-frame.md)",
    )
    group.add_argument(
        "--frame_completion",
        choices=FRAME_COMPLETIONS,
        help="how frames are filled, by name: repeat (the default), improved (the flag above), or interpolate: the "
        "mean of the denoised neighbours under the position's own noise",
    )
    group.add_argument(
        "--frame_positions",
        choices=tuple(HALF_FRAME_STRIDES),
        help="where in time the high-noise expert sees the half of the frames: consecutive, at 0, 1, 2 (the default), "
        "or spread, at their own positions 0, 2, 4, which keeps the speed of motion",
    )


def _add_output_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--output_dir", default="outputs", help="one folder per run is made in here (%(default)s)")
    group.add_argument("--save_file", help="where the video goes instead of the run folder")
    group.add_argument("--overwrite", action="store_true", help="let --save_file and --debug_output_dir replace files")
    group.add_argument("--dry_run", action="store_true", help="print the plan and its price, load nothing")
    group.add_argument("--quiet", action="store_true", help="print errors only")
    group.add_argument("--list_vocabulary", action="store_true", help="print the words that t2v-demo knows")


def _add_debug_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--enable_debug",
        action="store_true",
        help="keep the latents of every step and analyse the guidance error (docs/experiments.md); the result is "
        "bit-identical, and skipped passes are evaluated beside the run",
    )
    group.add_argument("--debug_output_dir", help="where it goes (<output_dir>/debug_outputs; then -2, -3, ...)")
    group.add_argument("--debug_dtype", choices=("float32", "bfloat16", "float16"), help="of its latents (float32)")


def _refuse_unavailable(args: argparse.Namespace) -> None:
    for name, default in _NOT_YET.items():
        if getattr(args, name) not in (default, str(default)):
            raise InvalidInput(f"--{name} is not available in this version; leave it out (see CHANGELOG.md)")
    if (args.debug_output_dir or args.debug_dtype) and not args.enable_debug:
        raise InvalidInput("--debug_output_dir and --debug_dtype need --enable_debug; give it too, or leave them out")
    if args.list_vocabulary and WAN_CONFIGS[args.task].bundled_checkpoint is None:
        raise InvalidInput(f"--list_vocabulary is for closed vocabularies, and {args.task} has an open one: drop it")


def _geometry(args: argparse.Namespace, config: TaskConfig, notices: list[str]) -> Geometry:
    try:
        size = parse_size(args.size or config.default_size)
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    asked = config.frame_num if args.frame_num is None else args.frame_num
    if image := image_path(config, args.image, dry_run=args.dry_run):
        image_size, area = open_image(image).size, size[0] * size[1]
        geometry = image_geometry(config, image_size=image_size, max_area=area, frame_num=asked)
        notices.append(f"the video is {geometry.width}*{geometry.height}: the image's aspect, the area of --size")
    else:
        geometry = geometry_for(config, size=size, frame_num=asked)
    if geometry.pixel_frames != asked:
        form = "1" if config.is_image_task else "4n+1"
        notices.append(f"--frame_num {asked} becomes {geometry.pixel_frames} ({config.name} makes {form} frames)")
    if args.size and args.size not in config.supported_sizes:
        known = ", ".join(config.supported_sizes)
        notices.append(f"--size {args.size} is not one the model was made for ({known}); quality may suffer")
    return geometry


def _settings(args: argparse.Namespace, config: TaskConfig) -> SamplingSettings:
    return settings_from(
        config,
        sample_solver=args.sample_solver,
        sampling_steps=_default(args.sample_steps, config.sample_steps),
        shift=_default(args.sample_shift, config.sample_shift),
        guide_scale=_guide_scale(args.sample_guide_scale, config),
        cfg_truncate_steps=args.cfg_truncate_steps,
        cfg_truncate_high_noise_steps=args.cfg_truncate_high_noise_steps,
        cfg_truncate_mode=args.cfg_truncate_mode,
        enable_half_frame_generation=args.enable_half_frame_generation,
        enable_improved_frame_completion=args.enable_improved_frame_completion,
        frame_completion=args.frame_completion,
        frame_positions=args.frame_positions,
    )


def _guide_scale(given: list[float] | None, config: TaskConfig) -> float | tuple[float, float]:
    if given is None:
        return config.sample_guide_scale
    if len(given) > 2 or (len(given) == 2 and not config.has_two_experts):
        rule = "one value, or two (low noise, high noise)" if config.has_two_experts else "one value"
        raise InvalidInput(f"--sample_guide_scale takes {rule} for --task {config.name}, not {len(given)}")
    return (given[0], given[-1])


def _save_file(args: argparse.Namespace, config: TaskConfig) -> Path | None:
    if args.save_file is None:
        return None
    path = Path(args.save_file)
    suffix = ".png" if config.is_image_task else ".mp4"
    if path.suffix.lower() != suffix:
        raise InvalidInput(f"--save_file {path} must end in {suffix} for --task {config.name}")
    if path.exists() and not args.overwrite:
        raise InvalidInput(f"--save_file {path} exists; give another name, or --overwrite to replace it")
    return path


def _default(value: Any, default: Any) -> Any:
    return default if value is None else value
