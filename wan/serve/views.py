"""What the desk shows of its requests, as plain frozen values: an entry of the queue, a quote, and a run folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan.errors import InvalidInput, WanError


class RequestRefused(InvalidInput):
    """A request cannot be made; the sentence is the one that the command would say.

    ``field``: the field at fault, under its name in a batch line ("frame_num", "shortcuts", "image"); None where the
    sentence is about several of them.
    """

    def __init__(self, sentence: str, *, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field


class QueueFull(WanError):
    """As many requests wait as the service takes; ``retry_after``: seconds until it is worth to ask again."""

    def __init__(self, sentence: str, *, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class UnknownEntry(InvalidInput):
    """There is no request with that id, or it was deleted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quote:
    """What a request would be and cost, before it is submitted; nothing is stored or loaded for it.

    ``table`` and ``price`` are the texts that ``--dry_run`` prints, ``expectation`` what it says of the expected error
    and the clips that it was measured on (None without a calibrated plan). ``share``: of the plain run's estimated
    FLOPs, with 1 for a plain run; ``forward_share`` of its forwards. ``seconds``: estimated on this machine, None until
    a run of the same model has finished. ``size`` is (width, height), ``video_seconds`` the length of the video.
    ``notices``: sentences that a user should read, the expectation left out.
    """

    task: str
    size: tuple[int, int]
    frame_num: int
    fps: int
    steps: int
    forwards: int
    flops: float
    share: float
    forward_share: float
    table: str
    price: str
    expectation: str | None
    seconds: float | None
    notices: tuple[str, ...]

    @property
    def video_seconds(self) -> float:
        return self.frame_num / self.fps


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One request of the service as it is now.

    ``state``: waiting, running, finished, failed or cancelled (``wan.batch.queue.STATES``). ``progress`` from 0 to 1:
    the share of the planned work. ``step`` of ``steps`` are done; ``expert``: the one at work (high_noise, low_noise,
    single), empty while none is. ``position``: requests before it, None unless it waits. ``eta_seconds``: until its
    video is there, None where nothing is known yet. ``preview`` and ``file`` exist when they are not None; ``file`` is
    the video, or the picture of an image task. ``error``: the sentence of a request that failed. Times are Unix
    seconds. ``settings``: the fields that were asked for, as ``Desk.submit`` takes them, with the seed that was drawn;
    giving them to ``submit`` (with ``image``) makes the same video again. ``weights``: the operator's weight options,
    as plain data.
    """

    id: str
    state: str
    task: str
    prompt: str
    size: tuple[int, int]
    frame_num: int
    fps: int
    seed: int
    progress: float
    step: int
    steps: int
    expert: str
    position: int | None
    eta_seconds: float | None
    run_folder: Path
    preview: Path | None
    file: Path | None
    image: Path | None
    error: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    settings: Mapping[str, Any]
    weights: Mapping[str, Any]
    share: float
    notices: tuple[str, ...]

    @property
    def video_seconds(self) -> float:
        return self.frame_num / self.fps

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.state not in ("waiting", "running")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run folder below the output folder, whoever made it. ``entry``: the id of its request, where it has one here.

    ``status`` is that of ``run.json``; ``shortcuts`` the label that results give them ("none" for a plain run);
    ``seconds`` of pure inference, None until it is sampled. ``file`` and ``preview`` exist when they are not None.
    """

    folder: Path
    status: str
    task: str
    prompt: str
    seed: int
    shortcuts: str
    seconds: float | None
    file: Path | None
    preview: Path | None
    modified_at: float
    entry: str | None
