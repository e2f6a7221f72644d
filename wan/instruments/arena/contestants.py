"""The methods of a suite made ready on one checkpoint: each is a variation of one job, or the reason why it is not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wan.errors import InvalidInput
from wan.instruments.arena.suite import ANOTHER_SEED, OTHER, PLAIN, RERUN, Entry, PeerConfig, Suite
from wan.instruments.methods import OTHER_SEED_SHIFT, Method, baseline_of
from wan.job import Job, prepare, vary
from wan.request import Request
from wan.sampling.price import DenoiserSize, price


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """One method on one checkpoint; ``method`` None where it cannot be planned there, for the reason ``refusal``."""

    name: str
    family: str
    role: str
    method: Method | None = None
    refusal: str | None = None
    peer: PeerConfig | None = None


def suite_job(suite: Suite, request: Request) -> Job:
    """The job that every method of a suite varies; ``request`` names the checkpoint and the machine.

    ``InvalidInput`` for a base that cannot be made.
    """
    asked = replace(request, task=suite.task, prompt=suite.cases[0].prompt, seed=suite.cases[0].seed, **suite.base)
    return baseline_of(prepare(asked)).job


def contestants_for(suite: Suite, job: Job) -> tuple[Contestant, ...]:
    """The plain plan first, then the two controls, then the suite's methods."""
    plain = Method(name=PLAIN, title=PLAIN, job=job)
    another = replace(plain, name=ANOTHER_SEED, title=ANOTHER_SEED, seed_shift=OTHER_SEED_SHIFT, is_control=True)
    rerun = replace(plain, name=RERUN, title=RERUN, is_control=True)
    always = [Contestant(name=one.name, family=one.name, role=OTHER, method=one) for one in (plain, rerun, another)]
    return (*always, *(_contestant(entry, job) for entry in suite.entries))


def _contestant(entry: Entry, job: Job) -> Contestant:
    bare = Contestant(name=entry.name, family=entry.family, role=entry.role, peer=entry.peer)
    try:
        varied = vary(job, shortcuts=entry.shortcuts, **entry.request)
    except InvalidInput as error:
        return replace(bare, refusal=str(error))
    return replace(bare, method=Method(name=entry.name, title=entry.name, job=varied))


def _decides_while_sampling(one: Contestant) -> bool:
    planned = one.method.plan.cache if one.method is not None else None
    return one.peer is not None or (planned is not None and not planned.is_planned)


def format_suite(suite: Suite, contestants: Sequence[Contestant], size: DenoiserSize) -> str:
    """What a dry run prints: clips, and the planned price of every method relative to the plain plan."""
    plain = contestants[0].method
    assert plain is not None
    reference = price(plain.plan, size).planned
    lines = [
        f"suite {suite.name}: {len(suite.cases)} clips ({suite.task}) x {len(contestants)} methods",
        f"{'method':<32} {'family':<28} {'role':<6} {'forwards':>8} {'planned cost':>12}",
    ]
    total = 0.0
    for one in contestants:
        head = f"{one.name:<32} {one.family:<28} {one.role:<6}"
        if one.method is None:
            lines.append(f"{head} cannot be planned: {one.refusal}")
            continue
        planned = price(one.method.plan, size).planned
        total += planned.flops / reference.flops
        most = " at most" if _decides_while_sampling(one) else ""
        lines.append(f"{head} {planned.forwards:>8} {planned.flops / reference.flops:>12.3f}{most}")
    lines.append(f"in all at most {total * len(suite.cases):.0f} plain clips' worth of forwards")
    return "\n".join(lines)
