"""What the preview of a real-size run costs, beside what a step of that run costs.

python tools/measure_preview.py
python tools/measure_preview.py --size "1280*720" --update_docs

The estimate x0 has the size of a real run's and smooth random content. "The run waits" is the time in which the colours
are computed and copied; on a GPU (--device cuda) that is done there. A thread writes the file beside the next step.
A step's time is computed: its FLOPs at an assumed share of a GPU's published speed, two forwards a step.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from door import run_tool, tool_parser
from claims.documents import replace_between
from wan.commands import SOURCE_DIR
from wan.gpus import EFFICIENCY, GPUS
from wan.job import Job, prepare
from wan.preview_colours import preview_colours
from wan.request import parse_request
from wan.runs import write_text_atomic
from wan.sampling.price import price, published_size

NAME = "measure_preview.py"
PAGES = tuple(SOURCE_DIR / "docs" / f"previews-and-metadata{language}.md" for language in ("", ".zh"))
BEGIN, END = "<!-- preview:begin -->", "<!-- preview:end -->"
RUNS = (("t2v-A14B", "832*480"), ("t2v-A14B", "1280*720"), ("ti2v-5B", "1280*704"))
GPU = "H100"


def main(argv: Sequence[str]) -> None:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--size", help="measure only this size")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu", help="where the latents are (%(default)s)")
    parser.add_argument("--update_docs", action="store_true", help="write the table into docs/previews-and-metadata.md")
    args = parser.parse_args(argv)
    lines = [
        f"| task | size | latents | the run waits ({args.device}), median of {args.repeats} | a step on one {GPU}, "
        "computed | share | written beside the next step in | file |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task, size in RUNS:
        if args.size in (None, size):
            job = prepare(parse_request(["--task", task, "--size", size, "--prompt", "x"]))
            lines.append(_row(job, repeats=args.repeats, device=args.device))
            print(lines[-1])
    if args.update_docs:
        for page in PAGES:
            text = replace_between(page.read_text(encoding="utf-8"), "\n".join(lines), begin=BEGIN, end=END)
            write_text_atomic(page, text)
            print(f"updated {page}")


def _row(job: Job, *, repeats: int, device: str) -> str:
    shape = job.geometry.latent_shape()
    waits, writes, size = measured_seconds(job, repeats=repeats, device=device)
    plain = price(job.plan, published_size(job.config)).plain
    step = plain.flops / len(job.plan.steps) / (GPUS[GPU].peak * EFFICIENCY)
    cells = (
        job.config.name,
        f"{job.geometry.width}*{job.geometry.height}",
        " x ".join(map(str, shape)),
        f"{waits * 1000:.1f} ms",
        f"{step:.1f} s",
        f"{waits / step:.2%}",
        f"{writes:.2f} s",
        f"{size / 1000:.0f} kB",
    )
    return "| " + " | ".join(cells) + " |"


def measured_seconds(job: Job, *, repeats: int, device: str) -> tuple[float, float, int]:
    """Median seconds that a step waits, and that the thread writes; and the bytes of the file."""
    import torch

    from wan.preview import frame_milliseconds, preview_frames
    from wan.runs.preview_file import write_preview

    colours, shape = preview_colours(job.config), job.geometry.latent_shape()
    coarse = torch.randn(shape[0], *(max(1, size // 4) for size in shape[1:]), generator=torch.manual_seed(0))
    latents = torch.nn.functional.interpolate(coarse[None], size=shape[1:], mode="trilinear")[0].to(device)
    times = frame_milliseconds(job.plan, latent_frames=shape[1], fps=job.config.sample_fps)
    waits, writes = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "preview.webp"
        for _ in range(repeats + 1):
            if latents.is_cuda:
                torch.cuda.synchronize()
            start = perf_counter()
            frames = preview_frames(latents, colours)
            copied = perf_counter()
            write_preview(path, frames, milliseconds=times)
            waits.append(copied - start)
            writes.append(perf_counter() - copied)
        return median(waits[1:]), median(writes[1:]), path.stat().st_size


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
