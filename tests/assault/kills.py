"""Part ``kills``: kill -9 at every step and in every phase, then ``--resume``: bit-equal, and nothing half written."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from tests.assault.children import Ended, not_one_sentence, not_well, run_child
from tests.assault.trials import Plan, Trial, first_fault
from tests.assault.whole import half_files, not_as_finished, partial_files, run_folders
from wan.runs.latents import PARTIAL_LATENTS_NAME

SIGKILL = -9
FRESH_OF = 5
"""One in so many runs is resumed by a new interpreter, the others by a forked process, see ``children``."""
STEPS = 20
BASE = ("generate", "--task", "t2v-demo", "--prompt", "a red circle moving right on a blue background", "--quiet",
        "--base_seed", "3")  # fmt: skip
VARIANTS: Mapping[str, Sequence[str]] = {
    "plain": (),
    "sea cache": ("--cache", "sea", "--cache_threshold", "2.0"),
    "taylor cache": ("--cache", "taylor", "--cache_order", "2"),
    "first-block cache": ("--cache", "first_block", "--cache_threshold", "0.8"),
    "budget": ("--budget", "0.5"),
    "half-frame": ("--enable_half_frame_generation", "--frame_completion", "interpolate"),
    "truncated": ("--cfg_truncate_steps", "5", "--cfg_truncate_mode", "decay"),
    "debug": ("--enable_debug", "--sample_steps", "6", "--cfg_truncate_steps", "2"),
}
PHASES = (
    *("loading", "text", "save_state:1", "save_state:9", "whole:resume.safetensors:4", "bytes:.json:2"),
    *("bytes:.safetensors:1", "whole:latents.safetensors:1", "renamed:latents.safetensors:1", "decode:1", "decode:3"),
    *("encode:1", "encode:10", "whole:video.mp4:1", "renamed:video.mp4:1", "whole:run.json:4"),
)
OF_VARIANTS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("sea cache", "taylor cache", "first-block cache"), ("state:4", "state:9")),
    **dict.fromkeys(("budget", "half-frame", "truncated"), ("state:4", "state:9")),
    "debug": ("step:3", "whole:latent_step_04.pt:1", "whole:error_analysis.json:1",
              "whole:cfg_error_visualization.png:1"),
}  # fmt: skip
TERMINATED = (("plain", 1), ("plain", 7), ("sea cache", 11), ("half-frame", 15))
CHECKED = (
    "kill -9 of `generate.py` at every one of 20 steps, in loading, text encoding, the writing of the resume file, the "
    "record, the latents, the debug files, in decoding and mp4 writing, with caches, a budget and half-frame, twice in "
    "one run, and in `wan report`; SIGTERM keeps partial latents: no half file under a final name, `--resume` ends "
    "with latents bit-equal to a run that was never stopped."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Killing:
    """Runs that are killed, and ``references``: the runs of the same settings that never were.

    ``resume_plan``: harm that is done to the process that resumes.
    """

    folder: Path
    references: Mapping[str, Path]
    resume_plan: str = ""

    def attack(self, variant: str, point: str, *, again: str | None = None, flags: Sequence[str] = ()) -> str | None:
        """Kill at a point, resume (where ``again`` says, kill that at another point and resume once more)."""
        place = self.folder / f"{variant} {point} {again or ''}".strip().replace(":", "_").replace(" ", "_")
        killed = run_child([*BASE, *VARIANTS[variant], *flags, *_output(place)], cwd=place, plan=f"kill@{point}")
        fault = _not_killed(killed, place)
        if fault:
            return fault
        (run,) = run_folders(place / "out")
        if again:
            killed = run_child(_resume(run), cwd=place, plan=f"kill@{again}")
        video = place / flags[flags.index("--save_file") + 1] if "--save_file" in flags else None
        return _not_killed(killed, place) or self.resumed(place, run, variant, video=video)

    def terminate(self, variant: str, step: int) -> str | None:
        """SIGTERM: the latents are kept, the record says so, and the run goes on."""
        place = self.folder / f"{variant}_terminated_{step}".replace(" ", "_")
        ended = run_child([*BASE, *VARIANTS[variant], *_output(place)], cwd=place, plan=f"term@step:{step}")
        fault = not_one_sentence(ended, codes=(1,)) or half_files(place)
        if fault:
            return fault
        (run,) = run_folders(place / "out")
        status = json.loads((run / "run.json").read_text(encoding="utf-8"))["status"]
        if status != "interrupted":
            return f"its record says {status}"
        if (run / PARTIAL_LATENTS_NAME).is_file() is not (step > 1):
            return f"partial latents after {step - 1} steps: {step == 1}"
        return self.resumed(place, run, variant)

    def resumed(self, place: Path, run: Path, variant: str, *, video: Path | None = None) -> str | None:
        """Resume in a new process; the fault of what that makes."""
        fresh = crc32(place.name.encode()) % FRESH_OF == 0
        ended = run_child(_resume(run), cwd=place, plan=self.resume_plan, fresh=fresh)
        return first_fault(
            not_well(ended), not_as_finished(run, self.references[variant], video=video), half_files(place),
            partial_files(place / "out"),
        )  # fmt: skip

    def report(self, point: str) -> str | None:
        """Kill ``wan report``, look for half a page, and make it again."""
        place = self.folder / f"report_{point}".replace(":", "_")
        words = ["report", self.references["plain"], "--output", "page.html"]
        killed = run_child(words, cwd=place, plan=f"kill@{point}")
        fault = _not_killed(killed, place)
        return fault or first_fault(not_well(run_child([*words, "--overwrite"], cwd=place)), half_files(place))


def make_references(folder: Path, variants: Sequence[str]) -> dict[str, Path]:
    """A run of every variant that is never stopped, two at a time."""

    def make(variant: str) -> tuple[str, Path]:
        place = folder / variant.replace(" ", "_")
        ended = run_child([*BASE, *VARIANTS[variant], *_output(place)], cwd=place)
        if fault := not_well(ended) or half_files(place):
            raise RuntimeError(f"the run without harm: {fault}")
        (run,) = run_folders(place / "out")
        return variant, run

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(make, variants))


def plan(folder: Path, sample: bool) -> Plan:
    """The trials of this part."""
    references = make_references(folder / "whole", ["plain"] if sample else list(VARIANTS))
    killing = Killing(folder=folder, references=references)

    def kill(variant: str, point: str, again: str | None = None, flags: Sequence[str] = ()) -> Trial:
        name = f"{variant}, {point}" + (f", then {again}" if again else "") + (f", {' '.join(flags)}" if flags else "")
        return Trial(name, lambda: killing.attack(variant, point, again=again, flags=flags))

    if sample:
        return Plan(trials=[kill("plain", "step:7"), kill("plain", "save_state:12")])
    trials = [kill("plain", f"step:{number}") for number in range(1, STEPS + 1)]
    trials += [kill("plain", point) for point in PHASES]
    trials += [kill(variant, point) for variant, points in OF_VARIANTS.items() for point in points]
    trials += [kill("plain", "step:5", "step:12"), kill("sea cache", "step:6", "save_state:3")]
    trials += [kill("plain", "renamed:asked.mp4:1", flags=("--save_file", "asked.mp4"))]
    trials += [
        Trial(f"{variant}, SIGTERM in step {step}", lambda v=variant, s=step: killing.terminate(v, s))
        for variant, step in TERMINATED
    ]
    trials += [
        Trial(f"report, {point}", lambda p=point: killing.report(p)) for point in ("bytes:.html:1", "whole:page.html:1")
    ]
    return Plan(trials=trials)


def _output(place: Path) -> tuple[str | Path, ...]:
    return "--output_dir", place / "out"


def _resume(run: Path) -> list[str | Path]:
    return ["generate", "--resume", run, "--quiet"]


def _not_killed(ended: Ended, place: Path) -> str | None:
    if ended.code != SIGKILL:
        return f"the point was not reached: ended with {ended.code}: {ended.sentence[-300:]}"
    return half_files(place)
