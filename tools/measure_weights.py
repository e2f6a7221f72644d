"""Measure what LoRA files and small weights make of the demo model: quality, obedience, cost, bytes of weights.

    python tools/measure_weights.py --suite lora --update_docs           the first table of docs/lora-and-memory.md
    python tools/measure_weights.py --suite quantised --update_docs      the second one (needs gguf and torchao)

Held-out prompts, one seed each, the same for every row. PSNR is against the plain run of 20 steps with guidance, on
decoded floats; the floor is another seed of the same prompt. "As asked" is the share of clips in which the detector
reads shape, colour, motion and background as the prompt has them.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from tqdm import tqdm

from door import run_tool, tool_parser
from claims.documents import replace_between
from claims.sample import demo_job
from demo_model.gguf_file import official_tensors, write_fp8_scaled, write_gguf
from wan.analysis.metrics import motion_ratio, psnr
from wan.commands import SOURCE_DIR
from wan.demo_world.detector import read_clip
from wan.demo_world.words import held_out_combinations
from wan.errors import InvalidInput
from wan.flags import Parser
from wan.instruments.bench.tables import markdown_table
from wan.job import Job, vary
from wan.loading.files import experts_of
from wan.loading.layouts import Checkpoint
from wan.loading.models import prepare_expert
from wan.loading.quantised import stored_bytes
from wan.models.devices import DTYPES
from wan.request_checks import refuse_bad_folders
from wan.runs import write_json_atomic, write_text_atomic
from wan.session import Session
from wan.shortcuts import BEST_HALF_FRAME, Shortcuts
from wan.weight_options import DEMO_LORA, WeightOptions, lora_of

NAME = "measure_weights.py"
DOCUMENTS = [SOURCE_DIR / "docs" / f"lora-and-memory{language}.md" for language in ("", ".zh")]
FIRST_SEED, OTHER_SEED = 1000, 5000
_FEW: Mapping[str, Any] = {"sample_steps": 4, "sample_solver": "euler", "sample_guide_scale": (1.0,)}
_LORA = WeightOptions(lora=(lora_of(DEMO_LORA),))
_HALF: Mapping[str, Shortcuts] = {
    "interpolate, spread": BEST_HALF_FRAME,
    "the same, first of 3 steps on all frames": replace(BEST_HALF_FRAME, half_frame_start=1),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One row: what is changed of the plain run, and the seed of its first clip."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    first_seed: int = FIRST_SEED


def main(argv: Sequence[str]) -> None:
    args = _parser().parse_args(argv)
    if not 1 <= args.prompts <= len(held_out_combinations()):
        raise InvalidInput(f"--prompts {args.prompts} must be 1 to {len(held_out_combinations())}")
    torch.set_num_threads(args.threads)
    job = demo_job(args.ckpt_dir)
    refuse_bad_folders(job.request)
    with tempfile.TemporaryDirectory(prefix="wan-weights-") as folder:
        variants = lora_variants() if args.suite == "lora" else quantised_variants(job, Path(folder))
        rows = measure(job, variants, count=args.prompts)
    table = format_rows(rows, args)
    print(table)
    if args.output:
        write_json_atomic(args.output, {"suite": args.suite, "prompts": args.prompts, "rows": rows})
    if args.update_docs:
        for document in DOCUMENTS:
            begin, end = (f"<!-- {args.suite}:{word} -->" for word in ("begin", "end"))
            content = document.read_text(encoding="utf-8")
            write_text_atomic(document, replace_between(content, table, begin=begin, end=end))
            print(f"updated {document}")


def lora_variants() -> list[Variant]:
    """Few steps without the LoRA, with it, and with half-frame generation on top."""
    with_lora = dict(_FEW) | {"weights": _LORA}
    return [
        Variant(name="4 steps, UniPC, guidance", changes={"sample_steps": 4}),
        Variant(name="4 steps, UniPC, guidance 1", changes=dict(_FEW) | {"sample_solver": "unipc"}),
        Variant(name="4 steps, Euler, guidance 1", changes=_FEW),
        Variant(name="LoRA, 4 steps, Euler, guidance 1", changes=with_lora),
        Variant(name="the same, UniPC", changes=with_lora | {"sample_solver": "unipc"}),
        Variant(name="the same, 3 steps, Euler", changes=with_lora | {"sample_steps": 3}),
        Variant(
            name="LoRA kept beside the weights", changes=with_lora | {"weights": replace(_LORA, lora_unfused=True)}
        ),
        *(
            Variant(name=f"LoRA + half-frame: {name}", changes=with_lora | {"shortcuts": shortcuts})
            for name, shortcuts in _HALF.items()
        ),
        Variant(name="another seed of the same prompt", first_seed=OTHER_SEED),
    ]


def quantised_variants(job: Job, folder: Path) -> list[Variant]:
    """Every way to store the weights; GGUF and fp8-scaled files are made of the demo model in ``folder``."""
    experts = {"high": "transformer", "low": "transformer_2"}
    ckpt_dir = Session(job, show_progress=False).checkpoint.path
    stored = {
        name: official_tensors(ckpt_dir / part / "diffusion_pytorch_model.safetensors")
        for name, part in experts.items()
    }

    def files(kind: str) -> WeightOptions:
        if kind == "scaled":
            made = {name: write_fp8_scaled(expert, folder / f"{name}.safetensors") for name, expert in stored.items()}
        else:
            made = {
                name: write_gguf(expert, folder / f"{name}-{kind}.gguf", kind=kind) for name, expert in stored.items()
            }
        return WeightOptions(denoiser_high=made["high"], denoiser_low=made["low"])

    return [
        Variant(name="--dtype bfloat16", changes={"machine": replace(job.request.machine, dtype="bfloat16")}),
        Variant(name="--quantize fp8", changes={"weights": WeightOptions(quantize="fp8")}),
        Variant(name="--quantize int8", changes={"weights": WeightOptions(quantize="int8")}),
        *(Variant(name=f"GGUF {kind}", changes={"weights": files(kind)}) for kind in ("Q8_0", "Q5_1", "Q4_0")),
        Variant(name="fp8-scaled file, read to the run's dtype", changes={"weights": files("scaled")}),
        Variant(name="another seed of the same prompt", first_seed=OTHER_SEED),
    ]


def measure(job: Job, variants: Sequence[Variant], *, count: int) -> list[dict[str, Any]]:
    """One row for the plain run and for each variant."""
    asked = held_out_combinations()[:count]
    plain: list[Any] = []
    rows = []
    for variant in tqdm([Variant(name="plain: 20 steps, UniPC, guidance"), *variants], desc="rows"):
        own = vary(job, **variant.changes)
        session = Session(own, show_progress=False)
        quality, seconds, agreed, moved, forwards, flops = [], [], [], [], 0, 0.0
        for place, combination in enumerate(asked):
            made = session.sample(own.plan, prompt=combination.caption(), seed=variant.first_seed + place)
            video = session.decode(made.latents)
            if len(plain) < count:
                plain.append(video)
            quality.append(psnr(video, plain[place]))
            moved.append(motion_ratio(video, plain[place]))
            reading = read_clip(torch.from_numpy(video).permute(3, 0, 1, 2))
            agreed.append(reading.agrees(combination)["all_four"])
            seconds.append(made.inference_seconds / len(own.plan.steps))
            forwards, flops = made.forwards, made.flops
        is_plain = variant.name.startswith("plain")
        rows.append(
            {
                "name": variant.name,
                "psnr": None if is_plain else fmean(quality),
                "worst": None if is_plain else min(quality),
                "motion": fmean(moved),
                "as_asked": sum(agreed) / count,
                "forwards": forwards,
                "flops": flops,
                "weights": weight_bytes(own, session.checkpoint),
                "step_seconds": sorted(seconds)[count // 2],
            }
        )
    return rows


def weight_bytes(job: Job, checkpoint: Checkpoint) -> int:
    """Bytes of both denoisers as they are held."""
    dtype = DTYPES[job.request.machine.dtype or job.config.param_dtype]
    models = [
        prepare_expert(checkpoint, expert, dtype=dtype, loras=job.loras, weights=job.request.weights)
        for expert in experts_of(job.config)
    ]
    return sum(stored_bytes(fill(torch.device("cpu"))) for fill in models)


def format_rows(rows: Sequence[Mapping[str, Any]], args: argparse.Namespace) -> str:
    """A Markdown table and the line that says how it was made."""
    is_lora, plain = args.suite == "lora", rows[0]["flops"]
    cost = ("forwards", "FLOPs") if is_lora else ("weights MB",)
    titles = ("on the demo model", *cost, "PSNR dB (worst)", "motion", "as asked")
    cells = []
    for row in rows:
        flops, megabytes = f"{row['flops'] / plain:.2f}", f"{row['weights'] / 1e6:.1f}"
        own = [str(row["forwards"]), flops] if is_lora else [megabytes]
        psnrs = "" if row["psnr"] is None else f"{row['psnr']:.1f} ({row['worst']:.1f})"
        cells.append([row["name"], *own, psnrs, f"{row['motion']:.2f}", f"{row['as_asked']:.2f}"])
    how = f"{args.prompts} held-out prompts; `python tools/{NAME} --suite {args.suite} --prompts {args.prompts}`."
    return "\n".join([*markdown_table(titles, cells), "", how])


def _parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--suite", choices=("lora", "quantised"), default="lora", help="which rows (%(default)s)")
    parser.add_argument("--prompts", type=int, default=96, help="held-out prompts (%(default)s)")
    parser.add_argument("--ckpt_dir", type=Path, help="another t2v-demo checkpoint")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads (%(default)s)")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    parser.add_argument("--update_docs", action="store_true", help="rewrite the suite's table in docs/")
    return parser


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
