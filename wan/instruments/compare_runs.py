"""Compares two run folders that were made earlier: their latents are decoded with the checkpoint that made them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from wan.analysis.comparison import CaseResult, Yardsticks, finite, judge, summarise, verdicts
from wan.analysis.comparison_files import DATA_NAME, REPORT_NAME
from wan.analysis.comparison_report import format_method
from wan.analysis.divergence import relative_difference
from wan.analysis.frame_curves import frame_curves
from wan.analysis.measures import Cost, Observation
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.instruments.compare import write_sheets, write_side_by_side
from wan.job import Job, vary
from wan.runs import LATENTS_NAME, load_record, write_json_atomic, write_text_atomic
from wan.runs.folders import claim_directory
from wan.runs.latents import load_latents
from wan.session import Session
from wan.untrusted.refusal import MALFORMED, reason_of

METHOD_TITLE = "方法 (method)"


def compare_earlier_runs(folders: Sequence[Path], job: Job, say: Callable[[str], None]) -> None:
    """Report, data and pictures of two run folders, the baseline and the method, into the job's output folder.

    The job's checkpoint, or the one that the runs name, decodes them. InvalidInput for runs that cannot be compared.
    """
    records = [load_record(folder) for folder in folders]
    for folder, record in zip(folders, records, strict=True):
        _refuse_incomplete(folder, record)
    latents = [load_latents(folder / LATENTS_NAME) for folder in folders]
    _refuse_unlike(folders, records, [tuple(item.shape) for item in latents])
    notices = _differences(records)
    for notice in notices:
        say(notice)
    ckpt_dir = job.request.ckpt_dir or Path(records[0]["checkpoint"]["path"])
    session = Session(vary(job, task=records[0]["task"], ckpt_dir=ckpt_dir, prompt=records[0]["prompt"]))
    if latents[0].shape[0] != session.config.latent_channels:
        raise InvalidInput(
            f"--from_runs: the latents have {latents[0].shape[0]} channels, and those of {session.config.name} have "
            f"{session.config.latent_channels}; give runs of that task"
        )
    directory = claim_directory(job.request.output_dir, flag="--output_dir", overwrite=job.request.overwrite)
    baseline, method = (session.decode(item) for item in latents)
    is_half_frame = records[1]["settings"]["frame_completion"] is not None
    stride = session.config.vae_stride[0] if is_half_frame else None
    drift = relative_difference(latents[1].numpy(), latents[0].numpy())
    observation = Observation(
        method=method,
        baseline=baseline,
        cost=_cost(records[1]),
        baseline_cost=_cost(records[0]),
        half_frame_stride=stride,
    )
    result = judge(observation, prompt=records[1]["prompt"], seed=records[1]["seed"], divergence=[drift])
    yardsticks = Yardsticks(missing="not known: two runs made earlier come without controls")
    text = format_method(f"{METHOD_TITLE} {folders[1].name}", [result], yardsticks=yardsticks) + "\n"
    write_text_atomic(directory / REPORT_NAME, text)
    data = _data(folders, result, yardsticks, notices)
    curves = frame_curves(method, baseline, method_latents=latents[1].numpy(), baseline_latents=latents[0].numpy())
    write_json_atomic(directory / DATA_NAME, data | {"curves": finite(curves)})
    title = f"{result.prompt!r}, seed {result.seed}"
    write_side_by_side(directory, result, method, baseline, name="method", fps=session.config.sample_fps)
    write_sheets(directory, result, method, baseline, name="method", title=title, stride=stride)
    say(f"{text}\nresults: {directory}")


def _data(folders: Sequence[Path], result: CaseResult, against: Yardsticks, notices: list[str]) -> dict[str, Any]:
    return {
        "baseline": str(folders[0]),
        "method": str(folders[1]),
        "result": result.as_dict(),
        "notices": notices,
        "verdicts": [asdict(found) for found in verdicts(summarise([result]), against)],
    }


def _refuse_incomplete(folder: Path, record: dict[str, Any]) -> None:
    """InvalidInput for a record without what a comparison reads, which every run of this program writes."""
    try:
        texts: list[Any] = [*(record[name] for name in ("task", "prompt", "negative_prompt"))]
        texts.append(record["checkpoint"]["path"])
        is_whole = all(isinstance(text, str) and "\0" not in text for text in texts) and texts[0] in WAN_CONFIGS
        is_whole &= isinstance(record["seed"], int) and "frame_completion" in record["settings"]
        cost = asdict(_cost(record))
        is_whole &= all(isinstance(value, int | float) and isfinite(value) for value in cost.values())
    except MALFORMED as error:
        raise InvalidInput(
            f"--from_runs: the record of {folder} lacks what a comparison reads ({reason_of(error)}); "
            "give a finished run"
        ) from error
    if not is_whole:
        raise InvalidInput(f"--from_runs: the record of {folder} holds values that no run has; give a finished run")


def _refuse_unlike(folders: Sequence[Path], records: list[dict[str, Any]], shapes: list[tuple[int, ...]]) -> None:
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
    planned, ran, timing = record["plan"]["price"]["planned"], record["forwards"], record.get("timing", {})
    # runs made before these were recorded have no cache, and executed what was planned
    return Cost(
        forwards=ran.get("executed", planned["forwards"]),
        token_forwards=ran.get("executed_token_forwards", planned["token_forwards"]),
        flops=ran.get("executed_flops", planned["flops"]),
        inference_seconds=timing.get("inference", 0.0),
        switch_seconds=timing.get("expert_switch", 0.0),
        decode_seconds=timing.get("decode", 0.0),
    )
