"""Fits the colours of --preview to a VAE: the linear map from a latent to the mean colour of the pixels behind it.

python tools/fit_preview.py                  the demo model, from clips as its training rendered them
python tools/fit_preview.py --task ti2v-5B --ckpt_dir DIR --runs outputs/RUN outputs/RUN2 --output wan-2.2.yaml

Least squares on latents and the videos that the VAE decodes them to. The PSNR is that of other videos: of held-out
clips, or of the last run. Without --output the demo model's own file is written.
"""

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from door import run_tool, tool_parser
from wan.configs import WAN_CONFIGS
from wan.demo_world.clips import as_indices, render, sample_clips
from wan.demo_world.words import Combination, held_out_combinations, training_combinations
from wan.errors import InvalidInput
from wan.loading.layouts import find_checkpoint_dir, open_checkpoint
from wan.loading.models import load_vae
from wan.models.devices import pick_device
from wan.models.vae import VideoVAE
from wan.preview_colours import COLOURS, PREVIEW_DIR
from wan.runs import LATENTS_NAME, write_text_atomic
from wan.runs.folders import refuse_existing
from wan.runs.latents import load_latents

NAME = "fit_preview.py"
DEMO = "t2v-demo"
PIXEL_FRAMES = 17
WIDTH = 110


def main(argv: Sequence[str]) -> None:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--task", default=DEMO, choices=sorted(WAN_CONFIGS))
    parser.add_argument("--ckpt_dir", type=Path, help="of another task than the demo model's")
    parser.add_argument("--runs", type=Path, nargs="+", help="run folders, whose latents are decoded; two or more")
    parser.add_argument("--clips", type=int, default=24, help="of the demo model: fitted to, and as many to test")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1, mps (auto)")
    parser.add_argument("--output", type=Path, help="the file to write; needed for another task than the demo model's")
    args = parser.parse_args(argv)
    config = WAN_CONFIGS[args.task]
    if args.task != DEMO and (not args.runs or len(args.runs) < 2 or args.output is None):
        raise InvalidInput(f"--task {args.task} needs --runs with two or more run folders, and --output FILE")
    refuse_existing(args.output, flag="--output")
    device = pick_device(args.device)
    vae = load_vae(open_checkpoint(config, find_checkpoint_dir(config, args.ckpt_dir)), device=device)
    fitted, tested = _of_runs(args.runs) if args.runs else _of_clips(vae, args.clips, device)
    coefficients = fit([(latents, _decoded(vae, latents, device)) for latents in fitted])
    coarse, fine = measured(coefficients, [(latents, _decoded(vae, latents, device)) for latents in tested])
    source = (
        f"python tools/{NAME} ({len(fitted)} videos; on {len(tested)} others PSNR {coarse:.1f} dB against the decoded "
        f"video averaged to the preview's pixels, {fine:.1f} dB against the video itself)"
    )
    path = args.output or PREVIEW_DIR / f"{DEMO}.yaml"
    write_text_atomic(path, as_yaml(coefficients, title=config.name, source=source))
    print(f"{source}\nsaved {path}")


def fit(videos: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """(C + 1, 3): the weights of every channel, and the bias, from latents (C, F, h, w) and videos (3, N, H, W)."""
    inputs = torch.cat([with_one(latents) for latents, _ in videos])
    wanted = torch.cat([averaged(video, latents).flatten(1).T for latents, video in videos])
    return torch.linalg.lstsq(inputs.double(), wanted.double()).solution.float()


def measured(coefficients: Tensor, videos: Sequence[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """PSNR in dB of the preview against the video at the preview's size, and against the video itself, to which the
    preview is enlarged."""
    coarse, fine = [], []
    for latents, video in videos:
        shown = (with_one(latents) @ coefficients).clamp(-1, 1).T.reshape(3, *latents.shape[1:])
        coarse.append((averaged(video, latents) - shown).square().mean())
        times = (torch.arange(video.shape[1]) + 3) // 4
        large = torch.nn.functional.interpolate(shown.transpose(0, 1), size=video.shape[2:], mode="bicubic")
        fine.append((video - large.clamp(-1, 1)[times].transpose(0, 1)).square().mean())
    # the values span 2, so that the peak is 2
    coarse_db, fine_db = (10 * torch.log10(4 / torch.stack(errors).mean()) for errors in (coarse, fine))
    return float(coarse_db), float(fine_db)


def with_one(latents: Tensor) -> Tensor:
    """(F * h * w, C + 1): every latent position, and a one for the bias."""
    flat = latents.flatten(1).T
    return torch.cat([flat, torch.ones(len(flat), 1)], dim=1)


def averaged(video: Tensor, latents: Tensor) -> Tensor:
    """A video (3, N, H, W) as the mean colours (3, F, h, w) of what each latent position stands for."""
    first, rest = video[:, :1], video[:, 1:]
    frames = torch.cat([first, rest.unflatten(1, (-1, 4)).mean(dim=2)], dim=1) if rest.shape[1] else first
    return torch.nn.functional.adaptive_avg_pool2d(frames, (latents.shape[2], latents.shape[3]))


def as_yaml(coefficients: Tensor, *, title: str, source: str) -> str:
    """The file of one VAE."""
    weights, bias = coefficients[:-1].T, coefficients[-1]
    lines = [f"# The preview of a latent of {title}: colour = weights . latent + bias, each in [-1, 1].", "source: >-"]
    lines += textwrap.wrap(source, WIDTH, initial_indent="  ", subsequent_indent="  ")
    lines += [f"bias: [{', '.join(f'{value:.4f}' for value in bias)}]", "weights:"]
    for colour, row in zip(COLOURS, weights, strict=True):
        numbers = textwrap.wrap(", ".join(f"{value:.4f}" for value in row), WIDTH)
        lines += [f"  {colour}: [", *(f"    {line}" for line in numbers[:-1]), f"    {numbers[-1]}]"]
    return "\n".join(lines) + "\n"


def _of_clips(vae: VideoVAE, count: int, device: torch.device) -> tuple[list[Tensor], list[Tensor]]:
    """Latents of rendered clips: of combinations that training saw, and of held-out ones."""
    generator = torch.Generator().manual_seed(0)

    def encoded(combinations: Sequence[Combination]) -> list[Tensor]:
        step = max(1, len(combinations) // count)
        chosen = as_indices(tuple(combinations[::step][:count]))
        clips = render(sample_clips(chosen, generator=generator, pixel_frames=PIXEL_FRAMES)) * 2 - 1
        return [vae.encode(clip.to(device)).cpu() for clip in clips]

    return encoded(training_combinations()), encoded(held_out_combinations())


def _of_runs(folders: Sequence[Path]) -> tuple[list[Tensor], list[Tensor]]:
    latents = [load_latents(folder / LATENTS_NAME) for folder in folders]
    return latents[:-1], latents[-1:]


def _decoded(vae: VideoVAE, latents: Tensor, device: torch.device) -> Tensor:
    return vae.decode(latents.to(device)).cpu().clamp(-1, 1)


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
