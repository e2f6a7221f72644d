"""The figures of a benchmark as JSON-ready rows, and the rows as a Markdown table."""

from collections.abc import Mapping, Sequence
from typing import Any

from wan.instruments.bench.timing import Timing

GIB = 2**30
_COLUMNS = (
    "variant",
    "forwards",
    "PFLOP",
    "s",
    "s per step",
    "min - max s",
    "TFLOP/s",
    "estimated / plain",
    "measured / plain",
    "speed-up",
    "peak GiB",
)


def row(
    timing: Timing, plain: Timing, *, forwards: int, steps: int, flops: float, plain_flops: float
) -> dict[str, Any]:
    """One variant: seconds, and its part of the plain plan's as the price model expects it and as measured."""
    return {
        "forwards": forwards,
        "flops": flops,
        "seconds": timing.median,
        "seconds_min": timing.minimum,
        "seconds_max": timing.maximum,
        "seconds_of_turns": timing.seconds,
        "seconds_per_step": timing.median / steps,
        "flops_per_second": flops / timing.median,
        "estimated_fraction": flops / plain_flops,
        "measured_fraction": timing.relative_to(plain),
        "speed_up": 1.0 / timing.relative_to(plain),
        "peak_bytes": timing.peak_bytes,
    }


def format_result(result: Mapping[str, Any]) -> str:
    """Title, what was done, and a table of the variants."""
    width, height = result["size"]
    lines = [
        f"{result['task']}, {result['frame_num']} frames of {width}x{height}, {result['steps']} steps, "
        f"{result['dtype']}, {result['versions']['device']}, {result['threads']} threads, "
        f"median of {result['repeats']}",
        "",
        *(f"{note}." for note in result["notes"]),
        "",
        *markdown_table(_COLUMNS, [_cells(name, row) for name, row in result["variants"].items()]),
    ]
    if kinds := result.get("step_kinds"):
        columns = ("kind of step", "s", "min - max s", "TFLOP/s", "peak GiB")
        lines += ["", *markdown_table(columns, [_kind_cells(name, row) for name, row in kinds.items()])]
    difference = result.get("largest_difference_from_diffusers")
    if difference is not None:
        lines += ["", f"Largest difference of the latents, plain plan against WanPipeline: {difference:.1e}"]
    if others := result.get("largest_difference_from_plain"):
        text = ", ".join(f"{name} {difference:.1e}" for name, difference in others.items())
        lines += ["", f"Largest difference of the latents from the plain run: {text}"]
    return "\n".join(lines)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    return [_line(columns), _line(["---"] * len(columns)), *map(_line, rows)]


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    return [
        name,
        str(row["forwards"]),
        f"{row['flops'] / 1e15:.3g}",
        f"{row['seconds']:.3f}",
        f"{row['seconds_per_step']:.4f}",
        f"{row['seconds_min']:.3f} - {row['seconds_max']:.3f}",
        f"{row['flops_per_second'] / 1e12:.3g}",
        f"{row['estimated_fraction']:.3f}",
        f"{row['measured_fraction']:.3f}",
        f"{row['speed_up']:.2f}x",
        _gib(row["peak_bytes"]),
    ]


def _kind_cells(name: str, row: Mapping[str, Any]) -> list[str]:
    return [
        name,
        f"{row['seconds']:.4f}",
        f"{row['seconds_min']:.4f} - {row['seconds_max']:.4f}",
        f"{row['flops_per_second'] / 1e12:.3g}",
        _gib(row["peak_bytes"]),
    ]


def _gib(count: int | None) -> str:
    return "-" if count is None else f"{count / GIB:.1f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
