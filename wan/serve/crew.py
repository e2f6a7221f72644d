"""The workers of the service: one process for each device, started again when it dies, ended when the service ends.

A worker process reads its settings from standard input, and then a line whenever there may be work. When standard input
ends, in order or because the service was killed, the worker stops at its next step.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from wan.commands import SOURCE_DIR, in_clone
from wan.machine import Machine, machine_as_argv

Say = Callable[[str], None]
STOP_SECONDS = 40.0
"""How long a stopped worker may take; after that it is ended, and loses the step that it was at."""
_MOST_PAUSE = 60.0
_LONG_LIFE = 120.0


class Crew(Protocol):
    """What makes the videos of a service."""

    def start(self) -> None:
        """Begin to work."""

    def poke(self) -> None:
        """There may be work, or less of it: look now."""

    def tend(self) -> None:
        """Start again what has died; called about twice a second."""

    def stop(self) -> None:
        """End in order, and wait for that."""

    def alive(self) -> tuple[int, int]:
        """(workers that live, workers that there should be)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSettings:
    """What one worker process works by; ``lease`` in seconds, ``retries`` of a failed request."""

    folder: Path
    machine: Machine
    lease: float
    retries: int
    accept_changes: bool

    def as_line(self) -> bytes:
        """One line of JSON."""
        values = {
            "folder": str(self.folder),
            "machine": machine_as_argv(self.machine),
            "lease": self.lease,
            "retries": self.retries,
            "accept_changes": self.accept_changes,
        }
        return json.dumps(values).encode("ascii") + b"\n"


class ProcessCrew:
    """One worker process for each of ``devices``."""

    def __init__(self, settings: WorkerSettings, devices: tuple[str | None, ...], *, say: Say) -> None:
        self._places = [_Place(settings, device, say) for device in devices]

    def start(self) -> None:
        for place in self._places:
            place.start()

    def poke(self) -> None:
        for place in self._places:
            place.poke()

    def tend(self) -> None:
        for place in self._places:
            place.tend()

    def stop(self) -> None:
        for place in self._places:
            place.begin_to_stop()
        end = time.monotonic() + STOP_SECONDS
        for place in self._places:
            place.wait_until(end)

    def alive(self) -> tuple[int, int]:
        return sum(place.is_alive for place in self._places), len(self._places)


class _Place:
    """One device and the process that works on it."""

    def __init__(self, settings: WorkerSettings, device: str | None, say: Say) -> None:
        self._device = device
        self._say = say
        self._settings = replace(settings, machine=replace(settings.machine, device=_seen_as(device)))
        self._process: subprocess.Popen[bytes] | None = None
        self._began = self._again_at = 0.0
        self._pause = 1.0

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self._began, self._again_at = time.monotonic(), 0.0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "wan.serve.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=_environment(self._device),
            start_new_session=True,  # Ctrl-C in the terminal is for the service, which then ends its workers
        )
        self._send(self._settings.as_line())

    def poke(self) -> None:
        self._send(b"\n")

    def tend(self) -> None:
        if self.is_alive or self._process is None:
            return
        now = time.monotonic()
        if not self._again_at:
            lived = now - self._began
            self._pause = 1.0 if lived > _LONG_LIFE else min(_MOST_PAUSE, self._pause * 2)
            self._again_at = now + self._pause
            self._say(
                f"the worker on {self._device or 'the best device'} has ended with code {self._process.returncode}; "
                f"it is started again in {self._pause:.0f} s"
            )
        elif now >= self._again_at:
            self.start()

    def begin_to_stop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def wait_until(self, end: float) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(timeout=max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _send(self, line: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError, ValueError):  # it has died; ``tend`` finds that
                self._process.stdin.write(line)
                self._process.stdin.flush()


def _seen_as(device: str | None) -> str | None:
    """A worker of cuda:1 is shown that GPU alone: its videos can then go on on any other of the same kind."""
    return "cuda" if device is not None and device.startswith("cuda:") else device


def _environment(device: str | None) -> dict[str, str]:
    environment = dict(os.environ)
    environment.pop("WAN_TOKEN", None)
    if in_clone():
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SOURCE_DIR), os.environ.get("PYTHONPATH")]))
    if device is not None and device.startswith("cuda:"):
        number, visible = device.removeprefix("cuda:"), os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = visible.split(",") if visible else []
        is_listed = number.isdigit() and int(number) < len(names)
        environment["CUDA_VISIBLE_DEVICES"] = names[int(number)] if is_listed else number
    return environment
