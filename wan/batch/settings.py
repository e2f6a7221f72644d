"""What the workers of a batch work by, as plain values that can be sent to another machine."""

from dataclasses import dataclass
from pathlib import Path

from wan.machine import Machine


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSettings:
    """``folder``: run folders, queue, index and page. ``machine`` says where a worker runs. ``lease`` in seconds."""

    folder: Path
    title: str
    machine: Machine
    lease: float
    retries: int
    batch_size: int
    videos_per_switch: int
    accept_changes: bool
    quiet: bool
