"""One request through a session into a run folder: latents on disk first, then the video, everything recorded.

The state after every step is on disk, too, so that a run that was stopped goes on where it was, in the same folder.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict, Unpack

import torch

from wan.analysis.debug import DebugRun, open_debug
from wan.errors import InvalidInput
from wan.extending import extended_job
from wan.folder_run import FolderRun, Say
from wan.following import follow
from wan.job import Job, cut_texts, open_job_checkpoint
from wan.limits import resolve_seed
from wan.loading.layouts import Checkpoint
from wan.loading.models import check_weights
from wan.parallel.group import started, team_device
from wan.parallel.ranks import ranks_here
from wan.parallel.sharing import refuse_ranks, sharing_of
from wan.parallel.team import Team
from wan.pipeline_checks import refuse_engine
from wan.request_checks import refuse_bad_folders
from wan.resuming import EarlierRun
from wan.run_sections import initial_record
from wan.runs import RunRecord, create_run_directory, load_record
from wan.runs.atomic import PARTIAL_PATTERN
from wan.runs.lock import working_in
from wan.runs.record import RUNNING
from wan.sampling.observers import Observer
from wan.sampling.price import price
from wan.sampling.table import format_plan, format_price
from wan.session import Session


class Beside(TypedDict, total=False):
    """What a caller that makes many runs brings to one.

    ``loaded``: a session of the same checkpoint and machine, whose models are used. ``observers`` see every step when
    its state is on its way to disk.
    """

    loaded: Session | None
    observers: Sequence[Observer]


def generate(
    job: Job, *, say: Say, show_progress: bool = True, directory: Path | None = None, **beside: Unpack[Beside]
) -> Path:
    """Make what a job asks for, in a run folder of its own; returns the file that was made.

    ``directory``: the run folder, where it has a name already. In a group of processes all of them call it: rank 0
    makes the folder, the others sample with it and return the folder of all runs.
    """
    refuse_bad_folders(job.request)
    refuse_ranks(sharing_of(job.request.machine), ranks_here())
    checkpoint = open_job_checkpoint(job)
    if beside.get("loaded") is None:
        check_weights(checkpoint)
    device = team_device(job.request.machine.device, ranks_here())
    refuse_engine(job.request.machine, job.config, device)
    with started(sharing_of(job.request.machine), device) as team:
        if team.leads:
            return _lead(
                job, checkpoint, device, team, say=say, show_progress=show_progress, directory=directory, **beside
            )
        follow(replace(job, extending=None), checkpoint, team)  # rank 0 extends the prompt and encodes it
    return job.request.output_dir


def _lead(
    job: Job,
    checkpoint: Checkpoint,
    device: torch.device,
    team: Team,
    *,
    say: Say,
    show_progress: bool,
    directory: Path | None,
    **beside: Unpack[Beside],
) -> Path:
    seed = resolve_seed(job.request.seed)
    job = extended_job(job, seed=seed, say=say)
    tag = price(job.plan, checkpoint.denoiser_size)
    for line in (*job.notices, *cut_texts(job, checkpoint), format_plan(job.plan), format_price(tag)):
        say(line)
    debug = _open_debug(job, say)
    directory = directory or create_run_directory(
        job.request.output_dir, task=job.config.name, prompt=job.given_prompt, now=datetime.now()
    )
    say(f"run folder: {directory}  (seed {seed})")
    sections = initial_record(job, checkpoint, seed=seed, device=str(device))
    sections["resume"] |= {"threads": torch.get_num_threads(), "debug": str(debug.directory) if debug else None}
    with working_in(directory), RunRecord(directory, sections) as record:
        run = FolderRun(
            job=job,
            checkpoint=checkpoint,
            seed=seed,
            directory=directory,
            record=record,
            say=say,
            debug=debug,
            team=team,
            **beside,
        )
        return run.execute(show_progress=show_progress)


def resume(
    earlier: EarlierRun,
    *,
    say: Say,
    show_progress: bool = True,
    **beside: Unpack[Beside],
) -> Path:
    """Go on with a run where it was stopped, in its folder; returns the file that was made, at once if it is there."""
    if earlier.finished_file is not None:
        say(f"{earlier.directory} is finished: {earlier.finished_file}")
        return Path(earlier.finished_file)
    job = earlier.job
    refuse_ranks(sharing_of(job.request.machine), ranks_here())
    checkpoint = open_job_checkpoint(job)
    if beside.get("loaded") is None:
        check_weights(checkpoint)
    device = team_device(job.request.machine.device, ranks_here())
    with started(sharing_of(job.request.machine), device) as team:
        torch.set_num_threads(earlier.record["resume"]["threads"])  # how a sum is split decides its last bits
        if team.leads:
            return _lead_on(earlier, checkpoint, team, say=say, show_progress=show_progress, **beside)
        follow(job, checkpoint, team)
    return earlier.directory


def _lead_on(
    earlier: EarlierRun,
    checkpoint: Checkpoint,
    team: Team,
    *,
    say: Say,
    show_progress: bool,
    **beside: Unpack[Beside],
) -> Path:
    job, directory, known = earlier.job, earlier.directory, earlier.record["resume"]
    with working_in(directory):
        if load_record(directory) != earlier.record:
            raise InvalidInput(f"{directory} has been worked on meanwhile; give the same command again")
        for folder in (directory, *([Path(known["debug"])] if known["debug"] else [])):
            for leftover in folder.rglob(PARTIAL_PATTERN):
                leftover.unlink(missing_ok=True)
        debug = _open_debug(job, say, claimed=Path(known["debug"])) if known["debug"] else None
        sections = {name: value for name, value in earlier.record.items() if name not in ("status", "error")}
        sections["resumed"] = [*sections.get("resumed", []), datetime.now(UTC).isoformat(timespec="seconds")]
        sections["adjustments"] = [*sections["adjustments"], *(f"resumed although {one}" for one in earlier.changes)]
        with RunRecord(directory, sections | {"status": RUNNING}) as record:
            run = FolderRun(
                job=job,
                checkpoint=checkpoint,
                seed=earlier.seed,
                directory=directory,
                record=record,
                say=say,
                debug=debug,
                team=team,
                **beside,
            )
            return run.execute(show_progress=show_progress)


def _open_debug(job: Job, say: Say, *, claimed: Path | None = None) -> DebugRun | None:
    if not job.request.enable_debug:
        return None
    return open_debug(
        job.debug_output_dir,
        plan=job.plan,
        settings=job.settings,
        dtype=job.request.debug_dtype or "float32",
        overwrite=job.request.overwrite,
        say=say,
        claimed=claimed,
    )
