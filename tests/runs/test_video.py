"""Videos and pictures: colours, order and count of frames, settings inside the file, failures that are loud."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from wan.errors import InvalidInput, NumericalError
from wan.runs import video as video_module
from wan.runs.video import read_video, read_video_metadata, to_uint8, write_image, write_video

COLOURS = ((1, -1, -1), (-1, 1, -1), (-1, -1, 1), (1, 1, 1), (-1, -1, -1), (0, 0, 0), (1, 1, -1), (-0.9, 0.6, -0.3))


def flat_frames() -> torch.Tensor:
    """(3, 8, 32, 48): every frame one colour."""
    return torch.tensor(COLOURS, dtype=torch.float32).T[:, :, None, None].expand(3, len(COLOURS), 32, 48)


def test_to_uint8_rounds_and_clips() -> None:
    values = torch.tensor([-1.5, -1.0, -1.0 + 0.6 / 127.5, 0.0, 0.999, 1.0, 7.0])
    expected = [0, 0, 1, 128, 255, 255, 255]
    frames = to_uint8(values.reshape(1, 1, 1, 7))
    assert frames.shape == (1, 1, 7, 1) and frames.dtype == np.uint8
    # 127.5 goes to the even 128.
    assert frames.ravel().tolist() == expected


def test_to_uint8_inverts_the_usual_scaling_and_moves_the_axes() -> None:
    levels = torch.arange(256).reshape(1, 1, 16, 16).expand(3, 2, 16, 16)
    frames = to_uint8(levels / 127.5 - 1.0)
    assert frames.shape == (2, 16, 16, 3)
    assert np.array_equal(frames[1, :, :, 2], levels[0, 0].numpy())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_to_uint8_takes_half_precision(dtype: torch.dtype) -> None:
    assert to_uint8(torch.ones(3, 1, 2, 2, dtype=dtype)).min() == 255


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_named_by_frame(value: float) -> None:
    video = torch.zeros(3, 4, 2, 2)
    video[1, 2, 0, 0] = value
    with pytest.raises(NumericalError, match="frame 2 "):
        to_uint8(video)


def test_colours_frame_count_and_order_survive(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write_video(path, flat_frames(), fps=16, metadata={})
    frames = read_video(path)
    assert frames.shape == (8, 32, 48, 3) and frames.dtype == np.uint8
    error = np.abs(frames.astype(int) - to_uint8(flat_frames()).astype(int))
    assert error.max() <= 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_moving_square_is_kept_well(tmp_path: Path) -> None:
    video = torch.full((3, 17, 64, 64), -0.5)
    for index in range(17):
        video[:, index, 24:40, 2 * index : 2 * index + 16] = 0.5
    write_video(tmp_path / "video.mp4", video, fps=16, metadata={})
    error = (read_video(tmp_path / "video.mp4").astype(float) - to_uint8(video)) / 255
    assert -10 * np.log10(np.square(error).mean()) > 40


def test_stream_is_tagged_h264_yuv420p_bt709_and_starts_fast(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write_video(path, flat_frames(), fps=24, metadata={})
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, stream.average_rate, stream.frames) == ("h264", "yuv420p", 24, 8)
        # 1 is BT.709 for the three, and the limited (MPEG) range for the last.
        assert context.colorspace == context.color_primaries == context.color_trc == context.color_range == 1
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_settings_travel_inside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    settings = {"prompt": '一只猫, "quoted"\n' + "long " * 4000, "base_seed": "42"}
    write_video(path, flat_frames(), fps=16, metadata=settings)
    assert read_video_metadata(path) == settings
    with av.open(str(path)) as container:
        assert json.loads(container.metadata["comment"]) == settings


def test_a_video_of_someone_else_has_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "other.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=16)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode())
    with pytest.raises(InvalidInput, match=r"other\.mp4 carries no settings"):
        read_video_metadata(path)


@pytest.mark.parametrize("content", [None, b"", b"not a video at all"])
def test_a_file_that_is_no_video_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "video.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"video\.mp4 cannot be read as a video"):
        read_video(path)


def test_a_failed_save_is_loud_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "_ENCODER", {"crf": "no number"})
    with pytest.raises(OSError, match=r"cannot write the video .*video\.mp4"):
        write_video(tmp_path / "video.mp4", flat_frames(), fps=16, metadata={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(3, 1, 16, 24), (3, 16, 24)])
def test_image_round_trip_with_settings(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    path = tmp_path / "image.png"
    write_image(path, image, metadata={"prompt": "一只猫", "base_seed": "42"})
    with Image.open(path) as saved:
        assert np.array_equal(np.asarray(saved), to_uint8(image.reshape(3, 1, 16, 24))[0])
        assert saved.text == {"prompt": "一只猫", "base_seed": "42"}
