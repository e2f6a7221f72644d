"""The most memory that decoding a video takes at several lengths: frame by frame into the encoder, or whole.

    python tools/measure_decoding.py --update_docs                    81 and 161 frames, 96*64: minutes
    python tools/measure_decoding.py --size "832*480" --ways whole    diffusers' decode at a real size: hours on a CPU

The VAE has the official widths (Wan2.1's, which A14B uses) and random weights, in float32. Every figure comes from a
fresh process and counts from the moment at which the VAE is loaded. "whole" is diffusers' own decode, whose video is
then encoded. Linux only.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from door import run_tool, tool_parser
from claims.documents import replace_between
from memory.watch import MemoryWatch, refuse_other_systems
from wan.commands import SOURCE_DIR
from wan.errors import WanError
from wan.runs import write_text_atomic

NAME = "measure_decoding.py"
PAGES = (SOURCE_DIR / "docs" / "reliability.md", SOURCE_DIR / "docs" / "reliability.zh.md")
BEGIN, END = "<!-- decoding:begin -->", "<!-- decoding:end -->"
WAYS = {"stream": "frame by frame, into the encoder", "whole": "whole (diffusers), then encoded"}
_STRIDE, _CHANNELS = (4, 8, 8), 16
_MB = 1e6


def main(argv: Sequence[str]) -> None:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[81, 161], help="4n + 1 (%(default)s)")
    parser.add_argument("--size", default="96*64", help="width*height, multiples of 8 (%(default)s)")
    parser.add_argument("--ways", choices=WAYS, nargs="+", default=["stream"], help="stream, whole (%(default)s)")
    parser.add_argument(
        "--update_docs", action="store_true", help="write the table into docs/reliability.md and .zh.md"
    )
    parser.add_argument("--probe", choices=WAYS, help="one measurement, in this process")
    args = parser.parse_args(argv)
    width, height = (int(part) for part in args.size.split("*"))
    refuse_other_systems()
    if args.probe:
        print(json.dumps(probed(args.probe, args.frames[0], width, height)))
        return
    lines = ["| decoded | frames | size | beyond the loaded VAE |", "|---|---:|---|---:|"]
    for way in args.ways:
        for frames in args.frames:
            memory = _in_fresh_process(way, frames, args.size)
            lines.append(f"| {WAYS[way]} | {frames} | {args.size} | {memory / _MB:,.0f} MB |")
            print(lines[-1])
    if args.update_docs:
        for page in PAGES:
            text = replace_between(page.read_text(encoding="utf-8"), "\n".join(lines), begin=BEGIN, end=END)
            write_text_atomic(page, text)
            print(f"updated {page}")


def _in_fresh_process(way: str, frames: int, size: str) -> int:
    command = [sys.executable, __file__, "--probe", way, "--frames", str(frames), "--size", size]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"])[-1]
        raise WanError(f"decoding {frames} frames ended with {reason}")
    return int(json.loads(answer.stdout.splitlines()[-1]))


def probed(way: str, frames: int, width: int, height: int) -> int:
    """Bytes (allocated, at most) of one decoding into an mp4."""
    import torch
    from diffusers import AutoencoderKLWan

    from wan.models.vae import VideoVAE
    from wan.runs.video import save_pieces

    vae = VideoVAE(AutoencoderKLWan().eval().requires_grad_(False))
    shape = (_CHANNELS, (frames - 1) // _STRIDE[0] + 1, height // _STRIDE[1], width // _STRIDE[2])
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with MemoryWatch() as before:
        pass
    with MemoryWatch() as watch, tempfile.TemporaryDirectory() as folder:
        pieces = vae.frames(latents) if way == "stream" else [vae.model.decode(latents[None]).sample[0]]
        save_pieces(Path(folder) / "video.mp4", pieces, is_image=False, fps=16, metadata={})
    return watch.peak().allocated - before.peak().allocated


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
