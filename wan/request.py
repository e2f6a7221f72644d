"""One request for a video, typed: from flags or from Python, and back to the command line that makes it.

``Request(task="t2v-demo", prompt="a red circle", shortcuts=Shortcuts(cfg_truncate_steps=5))`` says what the command
``generate`` would be told; what is None is the task's default. ``parse_request(request.argv()) == request``. The
official names of flags stay here and in ``wan.prompt_extension``, ``wan.shortcuts`` and ``wan.machine``.
"""

import argparse
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wan.commands import replay_line
from wan.configs import WAN_CONFIGS, parse_size
from wan.errors import InvalidInput
from wan.flags import Groups, Parser, add_flags, argv_of, as_text, flag, make_parser, values_of
from wan.machine import DTYPE_NAMES, SEVERAL, Machine, add_machine_flags, machine_as_argv, machine_of
from wan.machine import GROUP as MACHINE
from wan.prompt_extension import GROUP as EXTENSION
from wan.prompt_extension import PromptExtension
from wan.sampling.schedule import SOLVER_NAMES
from wan.shortcuts import GROUP as SHORTCUTS
from wan.shortcuts import Shortcuts, add_shortcut_flags, shortcuts_as_argv, shortcuts_of
from wan.weight_options import GROUP as WEIGHTS
from wan.weight_options import WeightOptions

WHAT, SAMPLING, OUTPUT, DEBUG = "what to generate", "sampling", "output", "debug"
DEFAULT_OUTPUT_DIR = Path("outputs")


def _size(text: str) -> tuple[int, int]:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _size_as_text(size: tuple[int, int]) -> tuple[str]:
    return (f"{size[0]}*{size[1]}",)


def _scales_as_text(scales: Sequence[float]) -> list[str]:
    return [text for scale in scales for text in as_text(scale)]


def _anywhere(path: Path | None) -> Path | None:
    """A path that means the same in every folder."""
    return None if path is None else path.absolute()


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What one run is asked for; None is the task's default. Raises ``InvalidInput`` for what contradicts itself.

    ``task`` None: what the folder ``ckpt_dir`` serves, or t2v-A14B. ``size`` is (width, height) in pixels, with an
    image its area. ``frame_num`` counts pixel frames. ``seed`` -1: a random one. ``sample_guide_scale``: one
    scale for both experts, or (low noise, high noise).
    """

    task: str | None = flag(
        None,
        "model and task; default: what --ckpt_dir serves, or t2v-A14B (instruments: t2v-demo)",
        group=WHAT,
        choices=sorted(WAN_CONFIGS),
    )
    ckpt_dir: Path | None = flag(
        None, "checkpoint folder, official or diffusers layout (t2v-demo brings its own)", group=WHAT, read=Path
    )
    prompt: str | None = flag(None, "what to show; without it, the task's example prompt", group=WHAT)
    negative_prompt: str = flag("", "what to avoid; empty: the task's default negative prompt", group=WHAT)
    image: Path | None = flag(
        None, "image that the video starts from (i2v tasks, ti2v-5B)", group=WHAT, read=Path, metavar="FILE"
    )
    size: tuple[int, int] | None = flag(
        None,
        "W*H in pixels, also WxH (zsh wants quotes around a *); with --image an area, in the image's aspect; default: "
        "the task's",
        group=WHAT,
        read=_size,
        write=_size_as_text,
        metavar="W*H",
    )
    frame_num: int | None = flag(
        None,
        "pixel frames: 1, or brought to the nearest 4n+1 from 5 on; default: the task's",
        group=WHAT,
        read=int,
        metavar="N",
    )
    seed: int = flag(
        -1,
        "random seed, 0 to 2^63-1; -1: a random one (%(default)s)",
        group=WHAT,
        names=("--base_seed",),
        read=int,
        metavar="SEED",
    )
    sample_solver: str = flag(
        "unipc",
        "the solver (%(default)s); euler is what LoRAs for few steps are made for",
        group=SAMPLING,
        choices=SOLVER_NAMES,
    )
    sample_steps: int | None = flag(
        None,
        "denoising steps; default: the task's",
        group=SAMPLING,
        names=("--sample_steps", "--sampling_steps"),
        read=int,
        metavar="N",
    )
    sample_shift: float | None = flag(
        None, "shift of the sigma grid; default: the task's", group=SAMPLING, read=float, metavar="SHIFT"
    )
    sample_guide_scale: tuple[float, ...] | None = flag(
        None,
        "guidance scale: one for both experts, or two: low noise, high noise; default: the task's",
        group=SAMPLING,
        read=float,
        write=_scales_as_text,
        metavar="SCALE",
        nargs="+",
    )
    extension: PromptExtension = PromptExtension()
    shortcuts: Shortcuts = Shortcuts()
    weights: WeightOptions = WeightOptions()
    machine: Machine = Machine()
    output_dir: Path = flag(
        DEFAULT_OUTPUT_DIR, "one folder per run is made in here (%(default)s)", group=OUTPUT, read=Path, metavar="DIR"
    )
    save_file: Path | None = flag(
        None,
        "where the video goes instead of the run folder (the folder is made)",
        group=OUTPUT,
        read=Path,
        metavar="FILE",
    )
    no_resume_file: bool = flag(
        False, "keep no file on disk from which --resume goes on when the run is stopped", group=OUTPUT
    )
    preview: bool = flag(
        False,
        "show the video while it is made: preview.webp in the run folder, replaced step by step, removed at the end",
        group=OUTPUT,
    )
    preview_every: int = flag(
        1, "steps from one preview to the next (%(default)s)", group=OUTPUT, read=int, metavar="K"
    )
    overwrite: bool = flag(False, "let --save_file and --debug_output_dir replace files", group=OUTPUT)
    enable_debug: bool = flag(
        False,
        "keep the latents of every step and analyse the guidance error; the result is bit-identical, and skipped "
        "passes are evaluated beside the run",
        group=DEBUG,
    )
    debug_output_dir: Path | None = flag(
        None, "where it goes (<output_dir>/debug_outputs; then -2, -3, ...)", group=DEBUG, read=Path, metavar="DIR"
    )
    debug_dtype: str | None = flag(None, "of its latents (float32)", group=DEBUG, choices=DTYPE_NAMES)

    def __post_init__(self) -> None:
        if self.sample_guide_scale is not None and not 1 <= len(self.sample_guide_scale) <= 2:
            raise InvalidInput(
                "--sample_guide_scale takes one value, or two (low noise, high noise), not "
                f"{len(self.sample_guide_scale)}"
            )
        if (self.debug_output_dir or self.debug_dtype) and not self.enable_debug:
            raise InvalidInput(
                "--debug_output_dir and --debug_dtype need --enable_debug; give it too, or leave them out"
            )

        if self.preview_every < 1:
            raise InvalidInput(
                f"--preview_every {self.preview_every} must be at least 1: a preview after every K steps"
            )
        if self.preview_every != 1 and not self.preview:
            raise InvalidInput(f"--preview_every {self.preview_every} needs --preview; give it too, or leave it out")

    def argv(self) -> list[str]:
        """The flags that ``parse_request`` reads back as this request."""
        parts = (argv_of(self.extension), shortcuts_as_argv(self.shortcuts), argv_of(self.weights))
        return [*argv_of(self), *(word for part in parts for word in part), *machine_as_argv(self.machine)]

    def lasting(self, *, seed: int) -> "Request":
        """The same request from any folder, with the seed that was drawn or given."""
        return replace(
            self,
            seed=seed,
            ckpt_dir=_anywhere(self.ckpt_dir),
            image=_anywhere(self.image),
            output_dir=self.output_dir.absolute(),
            save_file=_anywhere(self.save_file),
            debug_output_dir=_anywhere(self.debug_output_dir),
            machine=replace(self.machine, text_cache=_anywhere(self.machine.text_cache)),
            shortcuts=replace(self.shortcuts, plan=_anywhere(self.shortcuts.plan)),
            weights=self.weights.lasting(),
        )

    def command(self, *, seed: int) -> str:
        """The shell line that makes the same video again, from any folder, with the seed that was drawn or given.

        It leaves out ``save_file`` and ``overwrite``: what is made again goes into a run folder of its own.
        """
        lasting = self.lasting(seed=seed)
        output_dir = self.output_dir if self.output_dir == DEFAULT_OUTPUT_DIR else lasting.output_dir
        again = replace(lasting, output_dir=output_dir, save_file=None, overwrite=False)
        return replay_line("generate", *again.argv(), processes=self.machine.processes)


def add_request_flags(groups: Groups, *, leave_out: Collection[str] = ()) -> None:
    """Every flag of a request."""
    groups.order(WHAT, EXTENSION, SAMPLING, SHORTCUTS, WEIGHTS, MACHINE, SEVERAL, OUTPUT, DEBUG)
    add_flags(groups, Request, leave_out=leave_out)
    add_flags(groups, PromptExtension, leave_out=leave_out)
    add_shortcut_flags(groups)
    add_flags(groups, WeightOptions, leave_out=leave_out)
    add_machine_flags(groups)


def request_of(args: argparse.Namespace) -> Request:
    """Parsed flags as a request; ``InvalidInput`` for what contradicts itself."""
    return Request(
        **values_of(Request, args),
        extension=PromptExtension(**values_of(PromptExtension, args)),
        shortcuts=shortcuts_of(args),
        weights=WeightOptions(**values_of(WeightOptions, args)),
        machine=machine_of(args),
    )


def request_parser() -> Parser:
    """A parser of the flags of a request and no others."""
    parser = make_parser("generate", "Generate a video with Wan2.2, optionally with training-free shortcuts.")
    add_request_flags(Groups(parser))
    return parser


def parse_request(argv: Sequence[str]) -> Request:
    """Flags to a request; ``InvalidInput`` carries the one sentence that a user reads."""
    return request_of(request_parser().parse_args(argv))
