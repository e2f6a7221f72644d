"""One rank of a group that runs many cases one after another; rank 0 runs each alone too, and writes what differs."""

import json
import sys
import time
from functools import cache
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

import wan
from tests.goldens import RUNS, materialise, worst
from tests.parallel.cases import CASES, DEMO, Case
from tests.parity.test_command import command
from tests.parity.test_generate import arguments
from wan.job import Job, prepare
from wan.parallel.ranks import ranks_here
from wan.parallel.sharing import sharing_of
from wan.parallel.team import ALONE, Team
from wan.request import parse_request
from wan.session import Sampled, Session

_DEMO = ("--task", "t2v-demo", "--prompt", "a red circle moving right on a blue background", "--base_seed", "3")
_SHORT = ("--sample_steps", "4", "--frame_num", "9", "--size", "96x96", "--device", "cpu")


def job_of(case: Case, folder: Path, *, shares: bool) -> Job:
    budget = "--budget" in case.flags  # its plans are for the steps that were measured
    if case.run == DEMO:
        argv = [*_DEMO, *(_SHORT[2:] if budget else _SHORT)]
    else:
        argv = command(case.run, folder / case.run, own_folder(folder))
    return prepare(parse_request([*argv, *case.flags, *(case.sharing if shares else ())]))


def own_folder(folder: Path) -> Path:
    """Where this rank alone writes."""
    own = folder / f"rank_{ranks_here().rank}"
    own.mkdir(exist_ok=True)
    return own


@cache
def alone(case: Case, folder: Path) -> Sampled:
    return sampled(job_of(case, folder, shares=False), ALONE)


def sampled(job: Job, team: Team) -> Sampled:
    session = Session(job, show_progress=False, team=team)
    return session.sample(job.plan, prompt=job.prompt, seed=job.request.seed)


def bits(latents: Tensor) -> bytes:
    return latents.numpy().tobytes()


def compared(case: Case, folder: Path) -> dict[str, object]:
    job, start = job_of(case, folder, shares=True), time.perf_counter()
    team = Team(ranks=ranks_here(), sharing=sharing_of(job.request.machine), device=torch.device("cpu"))
    together = sampled(job, team)
    seconds = time.perf_counter() - start
    everywhere = team.gathered(together.latents)
    if not team.leads:
        return {}
    single = alone(Case(0, case.run, (), case.flags), folder)
    return {
        "name": case.name,
        "difference": worst(together.latents, single.latents),
        "largest": float(single.latents.abs().max()),
        "ranks_agree": len({bits(latents) for latents in everywhere}) == 1,
        "forwards": [together.forwards, single.forwards],
        "flops": [together.flops, single.flops],
        "seconds": seconds,
    }


def official(folder: Path) -> dict[str, object]:
    """The entry class as the official code calls it, with its parameters for several GPUs."""
    run, rank = "t2v_A14B_unipc", dist.get_rank()
    given = {"device": "cpu", "dtype": "float32", "checkpoint_dir": str(folder / run)}
    together = wan.WanT2V(RUNS[run].config, rank=rank, use_sp=True, dit_fsdp=True, t5_fsdp=True, **given)  # type: ignore[arg-type]
    video: Tensor | None = together.generate(**arguments(run))
    if rank:
        assert video is None
        return {}
    alone = wan.WanT2V(RUNS[run].config, **given).generate(**arguments(run))  # type: ignore[arg-type]
    return {"difference": worst(video, alone)}


def main(folder: Path, chosen: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    ranks = ranks_here()
    if ranks.size == 2 and not chosen:
        (folder / f"official_{ranks.rank}.json").write_text(json.dumps(official(folder)))
    results = []
    for case in CASES:
        if case.ranks == ranks.size and chosen in case.name:
            results.append(compared(case, folder))
            if ranks.leads:
                (folder / f"results_{ranks.size}.json").write_text(json.dumps(results, indent=1))
    dist.destroy_process_group()


def write_checkpoints(folder: Path) -> None:
    """What the children read."""
    for run in {case.run for case in CASES} & set(RUNS):
        materialise(run, folder / run)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
