"""``wan decode``: the video of latents that are on disk, of a finished run or of one that was stopped."""

from collections.abc import Sequence
from pathlib import Path

from wan.commands import command_line
from wan.configs import WAN_CONFIGS
from wan.flags import Parser, make_parser

DESCRIPTION = f"""\
Make the video of latents that are on disk, without sampling: only the VAE is loaded.

    {command_line("decode", "outputs/RUN")}                          a run whose video was not written, or was lost
    {command_line("decode", "outputs/RUN")}                          a run that was stopped: its estimate so far
    {command_line("decode", "latents.safetensors", "--save_file", "video.mp4")}

Of a stopped run it shows the denoised estimate x0 of the last step, as after_step_NN.mp4.
"""


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    from wan.decoding import decode_to_file, find_latents  # takes seconds that --help need not wait for

    found = find_latents(args.latents)
    path = decode_to_file(
        found,
        task=args.task,
        ckpt_dir=args.ckpt_dir,
        save_file=args.save_file,
        device=args.device,
        tiling=args.vae_tiling,
        overwrite=args.overwrite,
    )
    what = "" if found.step is None else f" (the estimate after step {found.step})"
    print(f"decoded {found.source}{what}\nsaved {path}")


def build_parser() -> Parser:
    parser = make_parser("decode", DESCRIPTION, usage="%(prog)s RUN_OR_LATENTS [flags]")
    parser.add_argument("latents", type=Path, metavar="RUN_OR_LATENTS", help="run folder, or a file of latents")
    parser.add_argument("--save_file", type=Path, metavar="FILE", help="default: beside the latents")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    parser.add_argument("--task", choices=sorted(WAN_CONFIGS), help="default: what the files say")
    parser.add_argument("--ckpt_dir", type=Path, help="default: the checkpoint that made the run")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1, mps (auto)")
    parser.add_argument("--vae_tiling", action="store_true", help="decode in tiles: less memory, faint seams")
    return parser
