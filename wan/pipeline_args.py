"""The keyword arguments that sampling a batch and sampling one video share."""

from collections.abc import Sequence
from typing import TypedDict

from wan.conditioned import Conditioning
from wan.models.cache import WrapDenoiser
from wan.models.engine import Engine
from wan.models.network_cache import CacheNetwork
from wan.sampling.completion import Completion
from wan.sampling.observers import Observer
from wan.sampling.snapshot import Snapshot
from wan.sampling.solvers import Solver


class SamplingArgs(TypedDict, total=False):
    """The keyword arguments of ``Pipeline.sample_batch`` that need not be given."""

    conditioning: Conditioning
    offload: str | None
    observers: Sequence[Observer]
    wrap: WrapDenoiser
    cache: CacheNetwork | None
    completion: Completion | None
    engine: Engine | None
    solver: Solver | None
    start: Snapshot | None
