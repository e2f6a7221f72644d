"""Timing in turns: warm up everything, then A B C A B C ..., so that drift of the machine meets all alike."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import torch
from tqdm import tqdm


@dataclass(frozen=True, slots=True)
class Timed:
    """One thing to time. ``run`` returns the seconds that count; ``warm_up`` meets every shape of it once."""

    warm_up: Callable[[], object]
    run: Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Seconds in every turn, and the most device memory that was allocated (None where the device does not tell)."""

    seconds: tuple[float, ...]
    peak_bytes: int | None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def minimum(self) -> float:
        return min(self.seconds)

    @property
    def maximum(self) -> float:
        return max(self.seconds)

    def relative_to(self, other: "Timing") -> float:
        """The median of the ratios of both within one turn: what slows a whole turn down is not in it."""
        return statistics.median(own / its for own, its in zip(self.seconds, other.seconds, strict=True))


def time_in_turns(variants: Mapping[str, Timed], *, repeats: int, device: torch.device) -> dict[str, Timing]:
    """Warm up all variants, then run each of them ``repeats`` times, in turns."""
    for variant in variants.values():
        variant.warm_up()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    peaks: dict[str, list[int | None]] = {name: [] for name in variants}
    for _ in tqdm(range(repeats), desc="timing", unit="turn"):
        for name, variant in variants.items():
            _forget_peak(device)
            seconds[name].append(variant.run())
            peaks[name].append(_peak(device))
    return {
        name: Timing(
            seconds=tuple(values), peak_bytes=max((peak for peak in peaks[name] if peak is not None), default=None)
        )
        for name, values in seconds.items()
    }


def wall_seconds(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, on a synchronised device."""
    _synchronise(device)
    start = perf_counter()
    run()
    _synchronise(device)
    return perf_counter() - start


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
