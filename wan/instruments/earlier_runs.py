"""Compares two run folders that were made earlier: their latents are decoded with the checkpoint that made them."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from wan.analysis.comparison import CaseResult, Cost, judge
from wan.analysis.comparison_plots import plot_contact_sheet, plot_per_frame
from wan.analysis.comparison_report import format_method
from wan.analysis.divergence import relative_difference
from wan.analysis.pictures import GAIN, amplified_difference, side_by_side
from wan.errors import InvalidInput
from wan.instruments.comparing import CONTACT_SHEET, PER_FRAME, SIDE_BY_SIDE
from wan.instruments.flags import make_options
from wan.runs import LATENTS_NAME, load_record, write_json_atomic, write_text_atomic
from wan.runs.latents import load_latents
from wan.runs.results import claim_directory
from wan.runs.video import write_frames
from wan.session import Session

METHOD_TITLE = "方法 (method)"


def compare_earlier_runs(args: argparse.Namespace, report: Callable[[str], None]) -> None:
    """Report, data, pictures of METHOD against BASELINE; InvalidInput for runs that cannot be compared."""
    folders = [Path(folder) for folder in args.from_runs]
    records = [load_record(folder) for folder in folders]
    latents = [load_latents(folder / LATENTS_NAME) for folder in folders]
    _refuse_unlike(folders, records, [tuple(item.shape) for item in latents])
    for notice in _differences(records):
        report(notice)
    args.task = records[0]["task"]
    args.ckpt_dir = args.ckpt_dir or records[0]["checkpoint"]["path"]
    options = make_options(args, prompt=records[0]["prompt"])
    session = Session(options, show_progress=False)
    directory = claim_directory(Path(args.output_dir), flag="--output_dir", overwrite=args.overwrite)
    baseline, method = (session.decode(item) for item in latents)
    is_half_frame = records[1]["settings"]["frame_completion"] is not None
    stride = options.config.vae_stride[0] if is_half_frame else None
    drift = relative_difference(latents[1].numpy(), latents[0].numpy())
    result = judge(
        method,
        baseline,
        prompt=records[1]["prompt"],
        seed=records[1]["seed"],
        half_frame_stride=stride,
        divergence=[drift],
        cost=_cost(records[1]),
        baseline_cost=_cost(records[0]),
    )
    text = format_method(f"{METHOD_TITLE} {folders[1].name}", [result]) + "\n"
    write_text_atomic(directory / "error_comparison.txt", text)
    write_json_atomic(
        directory / "error_comparison.json",
        {"baseline": str(folders[0]), "method": str(folders[1]), "result": result.as_dict()},
    )
    _write_pictures(directory, result, method, baseline, fps=options.config.sample_fps, stride=stride)
    report(f"{text}\nresults: {directory}")


def _write_pictures(
    directory: Path, result: CaseResult, method: np.ndarray, baseline: np.ndarray, *, fps: int, stride: int | None
) -> None:
    panels = {"baseline": baseline, "method": method, f"difference x {GAIN:g}": amplified_difference(method, baseline)}
    metadata = {"prompt": result.prompt, "seed": str(result.seed)}
    write_frames(directory / SIDE_BY_SIDE, side_by_side(panels), fps=fps, metadata=metadata)
    title = f"{result.prompt!r}, seed {result.seed}"
    psnrs = result.measures.psnr_per_frame
    plot_contact_sheet(directory / CONTACT_SHEET, method, baseline, name="method", psnrs=psnrs, title=title)
    plot_per_frame(directory / PER_FRAME, result, title=title, half_frame_stride=stride)


def _refuse_unlike(folders: list[Path], records: list[dict[str, Any]], shapes: list[tuple[int, ...]]) -> None:
    if records[0]["task"] != records[1]["task"] or shapes[0] != shapes[1]:
        raise InvalidInput(
            f"--from_runs: {folders[0]} ({records[0]['task']}, latents {shapes[0]}) and {folders[1]} "
            f"({records[1]['task']}, latents {shapes[1]}) are not the same task and shape; give runs that are"
        )


def _differences(records: list[dict[str, Any]]) -> list[str]:
    """What the runs should share and do not: measured all the same, but said."""
    names = ("prompt", "negative_prompt", "seed")
    return [
        f"note: the runs differ in {name} ({records[0][name]!r} and {records[1][name]!r}), so this is no measure of a "
        "shortcut"
        for name in names
        if records[0][name] != records[1][name]
    ]


def _cost(record: dict[str, Any]) -> Cost:
    planned, timing = record["plan"]["price"]["planned"], record.get("timing", {})
    return Cost(
        forwards=planned["forwards"],
        token_forwards=planned["token_forwards"],
        flops=planned["flops"],
        inference_seconds=timing.get("inference", 0.0),
        switch_seconds=timing.get("expert_switch", 0.0),
        decode_seconds=timing.get("decode", 0.0),
    )
