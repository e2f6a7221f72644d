"""A picture that a client sends: stored in its run folder under a name of its own, planned by its shape, made from."""

import base64
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from tests.serve.service import RED, running, stub_desk, until
from wan.batch.queue import Queue
from wan.configs import WAN_CONFIGS
from wan.sampling.price import published_size

TASK = "i2v-A14B"
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API")


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Path | None]:
    """A task that starts from a picture, planned by its published size, as no checkpoint of it is at hand."""
    checkpoint = SimpleNamespace(denoiser_size=published_size(WAN_CONFIGS[TASK]))
    monkeypatch.setattr("wan.serve.planning.open_job_checkpoint", lambda job: checkpoint)
    monkeypatch.setattr("wan.serve.planning.cut_texts", lambda job, checkpoint: [])
    return {TASK: tmp_path / "weights"}


def picture(size: tuple[int, int] = (400, 300)) -> bytes:
    content = BytesIO()
    Image.new("RGB", size, "red").save(content, "PNG")
    return content.getvalue()


def test_it_is_kept_in_the_run_folder_and_named_in_the_request(models: dict[str, Path | None], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with stub_desk(folder, models=models) as (desk, _):
        quote = desk.quote({"size": "832*480"}, picture())
        assert quote.size[0] / quote.size[1] == pytest.approx(4 / 3, rel=0.05) and not list(folder.glob("i2v*"))
        entry = desk.submit({"prompt": RED, "size": "832*480"}, picture())
        assert entry.size == quote.size and entry.image is not None
        assert entry.image.parent == entry.run_folder and entry.image.read_bytes() == picture()
        assert entry.image.name.startswith("input-") and entry.image.suffix == ".png"
        (queued,) = (status.entry for status in Queue(folder).statuses())
        assert queued.argv[queued.argv.index("--image") + 1] == str(entry.image)
        assert str(tmp_path / "weights") in queued.argv
        again = desk.submit(entry.settings, entry.image.read_bytes())
        assert again.seed == entry.seed and again.size == entry.size
        until(lambda: desk.entry(entry.id).is_over)
        desk.delete(entry.id)
        assert not entry.run_folder.exists() and again.image is not None and again.image.is_file()


def test_without_one_the_sentence_of_the_command_comes(models: dict[str, Path | None], tmp_path: Path) -> None:
    with running(tmp_path / "out", models=models) as service:
        status, answer = service.post({"prompt": RED})
        assert status == 400 and "makes a video from an image" in answer["error"]["message"]


def test_the_official_client_sends_one_as_a_file_and_as_a_data_url(
    models: dict[str, Path | None], tmp_path: Path
) -> None:
    pytest.importorskip("openai")
    with running(tmp_path / "out", models=models) as service:
        client = service.client()
        file = client.videos.create(prompt=RED, size="832x480", input_reference=("../../x.png", picture(), "image/png"))
        url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
        linked = client.videos.create(prompt=RED, size="832x480", extra_body={"input_reference": {"image_url": url}})
        images = [service.desk.entry(video.id).image for video in (file, linked)]
        assert all(image is not None and image.read_bytes() == picture() for image in images)
        assert file.size == linked.size != "832x480" and "the image's aspect" in " ".join(file.wan["notices"])
        with pytest.raises(Exception, match="50,000,000 are the most"):
            client.videos.create(prompt=RED, input_reference=("x.png", picture((7200, 7200)), "image/png"))
