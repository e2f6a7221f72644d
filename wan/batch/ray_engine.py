"""The workers of a batch as Ray actors: one on every device, started again when it dies. The claims stay in charge.

An actor runs the same loop as a worker in a terminal, on the same folder, which all nodes must share. Ray only starts
the actors where there are devices, and starts them again: it may run a call twice, and never knows of half a video,
while the claims know both. Nothing but settings and counts goes through its object store.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from wan.batch.settings import BatchSettings
from wan.commands import in_clone
from wan.errors import InvalidInput, WanError

Say = Callable[[str], None]
_RESTARTS = 100
"""Of one actor; 0 is Ray's default, for tasks as well."""


class WorkersLost(WanError):
    """Every actor ended before the batch did."""


def work_with_ray(settings: BatchSettings, *, workers: int | None, say: Say) -> None:
    """Start actors and wait until every request has ended, or no actor is left.

    In a cluster (``RAY_ADDRESS``, or one that runs on this machine) the actors go to its nodes; otherwise Ray starts on
    this machine alone. ``InvalidInput`` where Ray is not installed.
    """
    refuse_without_ray()
    import ray

    is_own = not ray.is_initialized()
    if is_own:
        ray.init(log_to_driver=False)
    try:
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        count = workers or gpus or _nodes(ray)
        say(f"Ray: {count} workers on {_nodes(ray)} nodes with {gpus} GPUs")
        actors = [_start(ray, settings, has_gpu=bool(gpus)) for _ in range(count)]
        _wait(ray, actors, say=say)
    finally:
        if is_own:
            ray.shutdown()


def refuse_without_ray() -> None:
    """``InvalidInput`` with the command that installs it, where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        how = "-r requirements-scale.txt" if in_clone() else "'wan22-shortcut[scale]'"
        raise InvalidInput(
            f"--engine ray needs Ray, which is not installed here; run `pip install {how}`, or leave the flag out: "
            "workers that share --output_dir need no engine"
        )


class RayWorker:
    """One actor: a worker in a process of its own, with a device of its own."""

    def __init__(self, settings: BatchSettings) -> None:
        self._settings = settings

    def work(self) -> None:
        """Until every request has ended; called anew after a restart, it goes on with what is left."""
        from wan.batch.local import work_here

        work_here(self._settings, say=_unsaid)


def _start(ray: Any, settings: BatchSettings, *, has_gpu: bool) -> Any:
    """An actor: on a GPU of its own, which it sees as the only one, or spread over the nodes."""
    actor = ray.remote(RayWorker).options(
        num_gpus=1 if has_gpu else 0,
        num_cpus=1,
        scheduling_strategy="SPREAD",
        max_restarts=_RESTARTS,
        max_task_retries=_RESTARTS,
    )
    return actor.remote(replace(settings, quiet=True, machine=_any_device(settings)))


def _any_device(settings: BatchSettings) -> Any:
    """Ray chooses the device: an actor sees its own as the first."""
    device = settings.machine.device
    return replace(settings.machine, device="cuda" if device and device.startswith("cuda:") else device)


def _wait(ray: Any, actors: Sequence[Any], *, say: Say) -> None:
    """Until all actors are done; those that end with an error are said, and the others go on."""
    left = {actor.work.remote(): actor for actor in actors}
    faults = []
    while left:
        (ready, *_), _ = ray.wait(list(left), num_returns=1)
        del left[ready]
        try:
            ray.get(ready)
        except ray.exceptions.RayError as error:
            faults.append(" ".join(str(error).split())[-300:])
            say(f"a worker of Ray has ended: {faults[-1]}")
    if len(faults) == len(actors):
        raise WorkersLost(f"every worker of Ray has ended with an error, the last one with: {faults[-1]}")


def _nodes(ray: Any) -> int:
    return sum(1 for node in ray.nodes() if node["Alive"])


def _unsaid(line: str) -> None:
    """It stands in the records of the runs, and in the index."""
