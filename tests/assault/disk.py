"""Part ``disk``: full disks of ten sizes, read-only and vanished folders, and many processes in one folder at once."""

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.assault.children import Ended, not_one_sentence, not_well, run_child
from tests.assault.kills import BASE, make_references
from tests.assault.small_disk import BLOCK, blocks, can_mount, file_limit, make_read_only, mounted
from tests.assault.trials import Plan, Trial, first_fault
from tests.assault.whole import half_files, not_as_finished, partial_files, run_folders

SIZES = 10
PROCESSES = 4
CHECKED = (
    "Full disks of ten sizes, from 0 bytes to one block too few (a small file system, and a limit of file sizes), "
    "read-only folders, a file in a folder's place, the folder deleted or replaced in a run, four processes in one "
    "output folder in the same second, with one `--save_file`, one debug folder, resuming one run, and comparing into "
    "one folder: one sentence each, nothing finished lost or half written, no folder shared, and with room again "
    "`--resume` ends bit-equal."
)


@dataclass(frozen=True, slots=True)
class Disk:
    """``reference``: the run folder of the same command without harm."""

    folder: Path
    reference: Path

    def full(self, room: int) -> str | None:
        """A file system with so much room; when it has more, the run goes on."""
        with mounted(self.folder / f"full_{room}", size=2**24) as place:
            ballast = place / "ballast"
            _fill(ballast, leave=room)
            ended = _generate(place / "out", cwd=self.folder)
            fault = not_one_sentence(ended) or half_files(place) or partial_files(place)
            ballast.unlink()
            return fault or self._goes_on(place / "out", ended)

    def limited(self, room: int) -> str | None:
        """No file may get larger than that."""
        place = self.folder / f"limited_{room}"
        ended = _generate(place / "out", cwd=place, preexec=file_limit(room))
        return (
            not_one_sentence(ended) or half_files(place) or partial_files(place) or self._goes_on(place / "out", ended)
        )

    def _goes_on(self, output_dir: Path, ended: Ended) -> str | None:
        """Whatever the run had finished is used, and the rest made, when there is room again."""
        for run in run_folders(output_dir):
            if not (run / "run.json").is_file():
                if any(path.name != ".lock" for path in run.iterdir()):
                    return f"{run.name} has files and no record: {ended.sentence[-200:]}"
                continue  # nothing was begun
            again = run_child(["generate", "--resume", run, "--quiet"], cwd=self.folder)
            return not_well(again) or not_as_finished(run, self.reference)
        return None

    def read_only(self) -> str | None:
        """An output folder on a file system that cannot be written to."""
        with mounted(self.folder / "read_only", size=2**20) as place:
            make_read_only(place)
            return not_one_sentence(_generate(place / "out", cwd=self.folder), codes=(2,))

    def read_only_save_file(self) -> str | None:
        """Only the asked file cannot be written: the latents are kept, or nothing was begun."""
        with mounted(self.folder / "read_only_file", size=2**20) as place:
            make_read_only(place)
            output = self.folder / "read_only_file_out"
            ended = _generate(output, "--save_file", place / "asked.mp4", cwd=self.folder)
            fault = not_one_sentence(ended) or half_files(output)
            runs = run_folders(output)
            kept = not runs or (runs[0] / "latents.safetensors").is_file()
            return fault or (None if kept else "the latents of a finished sampling are lost")

    def read_only_resume(self) -> str | None:
        """A stopped run in a folder that cannot be written to any more."""
        with mounted(self.folder / "read_only_run", size=2**24) as place:
            killed = _generate(place / "out", cwd=self.folder, plan="kill@state:5")
            assert killed.code < 0, killed
            make_read_only(place)
            (run,) = run_folders(place / "out")
            ended = run_child(["generate", "--resume", run, "--quiet"], cwd=self.folder)
            return not_one_sentence(ended)

    def file_instead(self, *, above: bool) -> str | None:
        """A file stands where the output folder, or one above it, should be."""
        place = self.folder / f"file_{above}"
        place.mkdir()
        (place / "out").write_text("mine")
        ended = _generate(place / "out" / "deeper" if above else place / "out", cwd=place)
        kept = (place / "out").read_text() == "mine"
        return not_one_sentence(ended, codes=(2,)) or (None if kept else "the file was changed")

    def vanishes(self, plan: str) -> str | None:
        """The output folder is deleted while the run writes into it: it is made again, or the run says so."""
        place = self.folder / plan.replace(":", "_")
        ended = _generate(place / "out", cwd=place, plan=plan)
        if ended.code != 0 or not run_folders(place / "out"):
            return not_one_sentence(ended, codes=(1,)) or half_files(place)
        (run,) = run_folders(place / "out")
        if not (run / "latents.safetensors").is_file():  # they were on disk, and were deleted
            return half_files(place)
        return not_as_finished(run, self.reference)

    def together(self, name: str, *flags: str, least: int = PROCESSES) -> str | None:
        """Four processes make their folders in the same second; at least so many of them end well."""
        place, meeting = self.folder / name, self.folder / f"{name}_meeting"
        meeting.mkdir()

        def one(_: int) -> Ended:
            env = {"MEETING": str(meeting)}
            return _generate(place / "out", *flags, cwd=place, plan=f"meet:{PROCESSES}@start", env=env)

        ended = _at_once(one)
        well, runs = [one for one in ended if one.code == 0], run_folders(place / "out")
        faults = [not_one_sentence(one) for one in ended if one.code != 0]
        faults.append(f"{len(runs)} folders of {PROCESSES} runs" if len(runs) != PROCESSES else None)
        faults.append(f"only {len(well)} ended well" if len(well) < least else None)
        faults += [half_files(place), partial_files(place)]
        if not flags:
            faults += [not_as_finished(run, self.reference) for run in runs]
        if "--enable_debug" in flags:
            folders = [path for path in (place / "out").glob("debug_outputs*") if path.is_dir()]
            faults.append(f"{len(folders)} debug folders of {PROCESSES} runs" if len(folders) != PROCESSES else None)
        return first_fault(*faults)

    def one_file(self) -> str | None:
        """Four runs with one --save_file: one gets it, and no finished video is written over."""
        fault = self.together("one_file", "--save_file", "asked.mp4", least=1)
        runs = run_folders(self.folder / "one_file" / "out")
        lost = [run.name for run in runs if not (run / "latents.safetensors").is_file()]
        finished = [run for run in runs if '"status": "finished"' in (run / "run.json").read_text(encoding="utf-8")]
        if len(finished) != 1:
            return fault or f"{len(finished)} runs say that they made the one file"
        return fault or (f"the latents of {', '.join(lost)} are lost" if lost else None)

    def one_run(self) -> str | None:
        """Four processes resume one run: one does, the others say so."""
        place = self.folder / "one_run"
        killed = _generate(place / "out", cwd=place, plan="kill@step:4")
        assert killed.code < 0, killed
        (run,) = run_folders(place / "out")
        ended = _at_once(lambda _: run_child(["generate", "--resume", run, "--quiet"], cwd=place))
        refused = [not_one_sentence(one, codes=(2,)) for one in ended if one.code != 0]
        return first_fault(
            *refused, None if any(one.code == 0 for one in ended) else "none of them resumed it",
            not_as_finished(run, self.reference),
        )  # fmt: skip

    def one_comparison(self) -> str | None:
        """Four comparisons into one folder at once get four."""
        place = self.folder / "one_comparison"
        words = ["compare", "--from_runs", self.reference, self.reference, "--output_dir", place / "made"]
        ended = _at_once(lambda _: run_child(words, cwd=place))
        made = [path for path in place.glob("made*") if (path / "error_comparison.json").is_file()]
        return first_fault(
            *(not_well(one) for one in ended), half_files(place),
            f"{len(made)} folders of {PROCESSES} comparisons" if len(made) != PROCESSES else None,
        )  # fmt: skip


def plan(folder: Path, sample: bool) -> Plan:
    """The trials of this part."""
    reference = make_references(folder / "whole", ["plain"])["plain"]
    disk = Disk(folder, reference)
    limits = _spread(max(path.stat().st_size for path in reference.iterdir()) - 1)
    if sample:
        return Plan(trials=[_limited(disk, limits[3]), Trial("a file instead", lambda: disk.file_instead(above=True))])
    trials = [_limited(disk, room) for room in limits]
    trials += [
        Trial("a file instead of the folder", lambda: disk.file_instead(above=False)),
        Trial("a file instead of a folder above", lambda: disk.file_instead(above=True)),
        *(
            Trial(f"the folder vanishes, {one}", lambda one=one: disk.vanishes(one))
            for one in ("remove@step:5", "remove@state:20", "remove@encode:5", "replace@step:5", "replace@encode:5")
        ),
        Trial("four runs in one second", lambda: disk.together("together")),
        Trial("four debug runs in one second", lambda: disk.together("debug", "--enable_debug", "--sample_steps", "4")),
        Trial("four runs with one --save_file", disk.one_file),
        Trial("four processes resume one run", disk.one_run),
        Trial("four comparisons into one folder", disk.one_comparison),
    ]
    if not can_mount(folder):
        return Plan(trials=trials, left_out=["the small file system and read-only folders (no mounting)"])
    rooms = [room // BLOCK * BLOCK for room in _spread(_needed(reference) - BLOCK)]
    trials += [Trial(f"a file system with {room:,} bytes", lambda room=room: disk.full(room)) for room in rooms]
    trials += [
        Trial("a read-only folder", disk.read_only),
        Trial("a read-only --save_file", disk.read_only_save_file),
        Trial("a read-only folder of a stopped run", disk.read_only_resume),
    ]
    return Plan(trials=trials)


def _limited(disk: Disk, room: int) -> Trial:
    return Trial(f"no file over {room:,} bytes", lambda: disk.limited(room))


def _generate(output_dir: Path, *flags: str | Path, cwd: Path, plan: str = "", **how: object) -> Ended:
    return run_child([*BASE, "--output_dir", output_dir, *flags], cwd=cwd, plan=plan, **how)  # type: ignore[arg-type]


def _at_once(one: Callable[[int], Ended]) -> Sequence[Ended]:
    with ThreadPoolExecutor(PROCESSES) as pool:
        return list(pool.map(one, range(PROCESSES)))


def _spread(most: int) -> list[int]:
    """Ten sizes from 0 to ``most``."""
    return [most * number // (SIZES - 1) for number in range(SIZES)]


def _needed(run: Path) -> int:
    """What a run must have room for at its end: its files, and the record a second time while it is replaced."""
    return sum(blocks(path.stat().st_size) for path in run.iterdir()) + blocks((run / "run.json").stat().st_size)


def _fill(path: Path, *, leave: int) -> None:
    free = shutil.disk_usage(path.parent).free - leave
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free)
