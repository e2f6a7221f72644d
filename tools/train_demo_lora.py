"""Trains the LoRA that ships with the demo model: 4 steps without guidance in place of 20 with it.

    python tools/train_demo_lora.py --work_dir training_runs/demo_lora --export checkpoints/t2v-demo-4steps

Stages: trajectories (the demo model's own runs on the captions that it was trained on), high, low (a LoRA for each
expert), export. Every stage resumes where a kill left it, and one whose budget is used up is skipped.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from door import run_tool, tool_parser
from claims.sample import demo_job
from demo_model.distil import DistilSettings, Student, export, own_places, train_student, walk, with_average
from demo_model.store import Budget, Log
from demo_model.trajectories import load_trajectories, record_trajectories, student_grid
from wan.errors import InvalidInput
from wan.flags import Parser
from wan.job import Job
from wan.session import Session

NAME = "train_demo_lora.py"
STAGES = ("trajectories", "high", "low", "export")


def main(arguments: Sequence[str]) -> None:
    """Runs the chosen stages in order."""
    given = _parser().parse_args(arguments)
    stages = [part.strip() for part in given.stages.split(",") if part.strip()]
    if unknown := [stage for stage in stages if stage not in STAGES]:
        raise InvalidInput(f"--stages: {unknown[0]!r} is no stage; known stages are {', '.join(STAGES)}")
    if min(given.clips, given.high_steps, given.low_steps, given.threads) < 1:
        raise InvalidInput("--clips, --high_steps, --low_steps and --threads must be at least 1")
    torch.set_num_threads(given.threads)
    job, log = demo_job(given.ckpt_dir), Log(given.work_dir / "log.jsonl")
    session = Session(job, show_progress=False)
    try:
        if "trajectories" in stages:
            record_trajectories(session, job, work_dir=given.work_dir, clips=given.clips, log=log)
        for stage, steps in (("high", given.high_steps), ("low", given.low_steps)):
            if stage in stages:
                _train(stage, steps, session, job, given.work_dir, log)
        if "export" in stages:
            students = [with_average(Student(session.checkpoint, stage), given.work_dir) for stage in ("high", "low")]
            export(students, given.export, command=f"tools/{NAME}")
    except FileNotFoundError as error:
        raise InvalidInput(str(error)) from error  # a stage that needs an earlier one


def _train(stage: str, steps: int, session: Session, job: Job, work_dir: Path, log: Log) -> None:
    """One expert; the low-noise one begins where the finished high-noise student leads."""
    data, grid = load_trajectories(work_dir), student_grid(job)
    boundary = job.settings.boundary
    assert boundary is not None, "the demo model has two experts"
    starts = data.states[0]
    if stage == "low":
        before = with_average(Student(session.checkpoint, "high"), work_dir)
        starts = walk(before, data, grid, own_places("high", grid, boundary), starts)
    train_student(
        Student(session.checkpoint, stage),
        data,
        grid,
        own_places(stage, grid, boundary),
        DistilSettings(budget=Budget(steps=steps)),
        starts=starts,
        work_dir=work_dir,
        log=log,
    )


def _parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--ckpt_dir", type=Path, help="the teacher; default: the model that ships with the project")
    parser.add_argument("--work_dir", type=Path, required=True, help="folder for trajectories, states and the log")
    parser.add_argument("--export", type=Path, default=Path("checkpoints/t2v-demo-4steps"), help="where the files go")
    parser.add_argument("--stages", default=",".join(STAGES), help="comma-separated, in order (default: all)")
    parser.add_argument("--clips", type=int, default=256, help="runs of the teacher (default %(default)s)")
    parser.add_argument("--high_steps", type=int, default=320, help="training steps (default %(default)s)")
    parser.add_argument("--low_steps", type=int, default=450, help="training steps (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main, interrupted="the same command continues"))
