"""The requests of a file planned, priced, put in order and made entries of the queue; no weight is read.

The order: checkpoint after checkpoint, so that each worker loads every checkpoint once, that with the dearest request
first; within one the dearest first, so that no long video is begun when everything else is done; equal requests and
equal prompts stand together.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

from wan.batch.lines import Faults, Line
from wan.batch.segments import Entry
from wan.commands import program
from wan.errors import InvalidInput, WanError
from wan.job import Job, open_job_checkpoint, prepare
from wan.job_weights import weights_record
from wan.loading.lora_files import loras_digest
from wan.machine import Machine
from wan.parallel.sharing import NOTHING, refuse_without_team, sharing_of
from wan.request import DEFAULT_OUTPUT_DIR, Request, parse_request
from wan.request_checks import checked_request
from wan.runs.folders import prompt_slug
from wan.sampling.price import DenoiserSize, PriceTag, price, published_size
from wan.sampling.table import plan_record
from wan.weight_options import WeightOptions

_KEY_LETTERS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """One request with its entry, its price, and what a user should know of it."""

    line: int
    entry: Entry
    tag: PriceTag
    notices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Template:
    """What requests that differ only in prompt and seed have in common; no picture is kept."""

    task: str
    tag: PriceTag
    session: str
    group: str
    image: str
    notices: tuple[str, ...]


@dataclass(slots=True)
class Planner:
    """Plans lines; what cannot be made goes to ``faults``. ``is_dry``: checkpoints need not be there."""

    faults: Faults
    is_dry: bool = False
    _templates: dict[Request, _Template] = field(default_factory=dict)
    _seen: Counter[str] = field(default_factory=Counter)

    def plan(self, lines: Iterable[Line]) -> list[Planned]:
        """The requests in the order in which they are to be made."""
        found = []
        for line in lines:
            try:
                found.append(self._planned(line))
            except (WanError, OSError) as error:
                self.faults.add(line.number, error)
        return in_order(found)

    def _planned(self, line: Line) -> Planned:
        request = checked_request(line.request)
        if not request.prompt:
            self.faults.add(line.number, "it has no prompt, and none is given for all lines; write one")
        template = self._template(replace(request, prompt=request.prompt and "a prompt", seed=0))
        argv = lasting_argv(replace(request, task=template.task))
        identity = digest([argv, template.image])
        self._seen[identity] += 1
        key, prompt = digest([identity, self._seen[identity]]), request.prompt or ""
        entry = Entry(
            key=key,
            folder=f"{line.number:05d}_{prompt_slug(prompt)}-{key[:6]}",
            argv=tuple(argv),
            source=f"line {line.number}",
            prompt=prompt,
            price=template.tag.planned.flops,
            session=template.session,
            group=template.group,
        )
        return Planned(line=line.number, entry=entry, tag=template.tag, notices=template.notices)

    def _template(self, request: Request) -> _Template:
        if request not in self._templates:
            found = self._made(request)
            if request.image is not None:  # it could be another picture by the next time
                return found
            self._templates[request] = found
        return self._templates[request]

    def _made(self, request: Request) -> _Template:
        if request.extension.use_prompt_extend:
            raise InvalidInput(
                "--use_prompt_extend is not for a batch, whose workers would load the language model for every line; "
                f"write the prompts out with `{program('extend')}` first"
            )
        job = prepare(request)
        refuse_without_team(sharing_of(request.machine), NOTHING)
        session = session_of(job)
        return _Template(
            task=job.config.name,
            tag=price(job.plan, self._size(job)),
            session=session,
            group=group_of(job, session),
            image=(job.picture.sha256 if job.picture else "") + loras_digest(job.loras),
            notices=job.notices,
        )

    def _size(self, job: Job) -> DenoiserSize:
        if self.is_dry and job.request.ckpt_dir is None and not job.config.bundled_checkpoint:
            return published_size(job.config)
        return open_job_checkpoint(job).denoiser_size


def in_order(found: Sequence[Planned]) -> list[Planned]:
    """As the module says."""
    dearest: dict[str, float] = {}
    for one in found:
        dearest[one.entry.session] = max(one.entry.price, dearest.get(one.entry.session, 0.0))
    return sorted(
        found,
        key=lambda one: (
            -dearest[one.entry.session],
            one.entry.session,
            -one.entry.price,
            one.entry.group,
            one.entry.prompt,
            one.line,
        ),
    )


def lasting_argv(request: Request) -> list[str]:
    """The flags of a request from any folder, without the places that its worker chooses."""
    lasting = request.lasting(seed=request.seed)
    return replace(lasting, output_dir=DEFAULT_OUTPUT_DIR, machine=without_place(lasting.machine)).argv()


def without_place(machine: Machine) -> Machine:
    """The machine settings without those that say where a worker runs."""
    return replace(machine, device=None, ignore_memory_check=False)


def session_of(job: Job) -> str:
    """What requests have in common that the same loaded models can make."""
    machine = without_place(job.request.machine)
    options = job.request.weights
    own = [astuple(options), weights_record(options, job.loras, job.replaced)] if options != WeightOptions() else []
    return digest([job.config.name, job.request.ckpt_dir, *astuple(machine), *own])


def group_of(job: Job, session: str) -> str:
    """What requests have in common that can share forwards; empty for one that cannot share any.

    A cache that decides by what it sees would decide for all of them at once, one inside of the network keeps what
    cannot be told apart again, and a debug run and a preview look at one video.
    """
    cache, request = job.plan.cache, job.request
    if request.enable_debug or request.preview or (cache is not None and (cache.is_in_network or not cache.is_planned)):
        return ""
    geometry = job.geometry
    shape = [geometry.width, geometry.height, geometry.pixel_frames]
    return digest([session, plan_record(job.plan), shape, job.picture.sha256 if job.picture else None])


def digest(value: Any) -> str:
    """16 hexadecimal digits that tell plain data from other data."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()[:_KEY_LETTERS]


def request_from(entry: Entry, *, folder: Path, machine: Machine) -> Request:
    """The request of an entry for a worker whose ``machine`` says where it runs; results go below ``folder``."""
    request = parse_request(entry.argv)
    placed = replace(request.machine, device=machine.device, ignore_memory_check=machine.ignore_memory_check)
    debug = folder / entry.folder / "debug_outputs" if request.enable_debug else None
    return replace(request, output_dir=folder, machine=placed, debug_output_dir=debug)
