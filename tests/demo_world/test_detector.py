"""The detector that grades the demo model is itself right on rendered clips, whose truth is known."""

from __future__ import annotations

import torch

from demo_model.scores import share_right
from wan.demo_world.clips import as_indices, render, sample_clips
from wan.demo_world.detector import UNCLEAR, read_clip
from wan.demo_world.words import all_combinations

CLIPS = 100


def test_detector_reads_ground_truth_clips() -> None:
    visible = [one for one in all_combinations() if not (one.shape == "circle" and one.motion == "spinning")]
    generator = torch.Generator().manual_seed(11)
    chosen = tuple(visible[i] for i in torch.randperm(len(visible), generator=generator)[:CLIPS].tolist())
    videos = render(sample_clips(as_indices(chosen), generator=generator))
    right = share_right(tuple(read_clip(video) for video in videos), chosen)
    assert min(right.values()) >= 0.98, right


def test_an_empty_picture_is_unclear() -> None:
    reading = read_clip(torch.full((3, 49, 64, 64), 0.95))
    assert reading.background == "white"
    assert reading.shape == reading.colour == reading.motion == UNCLEAR
