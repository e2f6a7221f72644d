"""The API: the official OpenAI client against a running server, errors, limits, paths, 50 clients, metrics."""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.serve.service import RED, STEPS, Service, running, until

openai = pytest.importorskip("openai")

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API")  # the client's, about the service of its makers


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service")) as found:
        yield found


def picture() -> bytes:
    content = BytesIO()
    Image.new("RGB", (96, 64), "red").save(content, "PNG")
    return content.getvalue()


def completed(service: Service, id: str) -> Any:
    until(lambda: service.desk.entry(id).is_over)
    return service.client().videos.retrieve(id)


def test_the_official_client_makes_a_video(service: Service, tmp_path: Path) -> None:
    client = service.client()
    video = client.videos.create(
        prompt=RED,
        model="t2v-demo",
        size="96x64",
        seconds="1",
        extra_body={
            "seed": 7,
            "num_inference_steps": 10,
            "guidance_scale": 4.0,
            "guidance_scale_2": 2.5,
            "negative_prompt": "blue",
            "shortcuts": {"cfg_truncate_steps": 3, "restart_at_switch": True},
        },
    )
    assert video.object == "video" and video.id.startswith("video_") and video.status in ("queued", "in_progress")
    assert (video.model, video.prompt, video.size, video.seconds) == ("t2v-demo", RED, "96x64", "1.0625")
    assert video.seed == 7 and video.num_frames == 17 and video.num_inference_steps == 10 and video.error is None
    assert any("seconds 1 becomes 17 frames" in notice for notice in video.wan["notices"])
    made = completed(service, video.id)
    assert made.wan["notices"] == video.wan["notices"]
    assert made.status == "completed" and made.progress == 100 and made.completed_at >= made.created_at
    client.videos.download_content(video.id).write_to_file(tmp_path / "video.mp4")
    assert (tmp_path / "video.mp4").read_bytes() == b"mp4 of " + RED.encode()
    settings = service.desk.entry(video.id).settings
    assert settings["sample_guide_scale"] == ["2.5", "4.0"], "low noise first, and diffusers' second is low noise"
    assert settings["shortcuts"] == {"cfg_truncate_steps": "3", "restart_at_switch": True}
    assert client.videos.create_and_poll(prompt=RED, poll_interval_ms=20).status == "completed"


def test_json_and_a_form_ask_for_the_same(service: Service) -> None:
    status, video = service.post({"prompt": RED, "seed": 3, "budget": 0.5, "num_frames": 13, "fps": 16})
    assert status == 200 and video["num_frames"] == 13 and video["wan"]["share"] <= 0.5
    form = service.client().videos.create(prompt=RED, extra_body={"seed": 3, "budget": 0.5, "num_frames": 13})
    assert (form.size, form.wan["share"], form.seed) == (video["size"], video["wan"]["share"], video["seed"])


def test_videos_are_listed_in_pages(service: Service) -> None:
    client = service.client()
    ids = [client.videos.create(prompt=f"{RED} {n}").id for n in range(5)]
    assert [video.id for _, video in zip(range(5), client.videos.list(limit=2), strict=False)] == ids[::-1]
    page = client.videos.list(limit=2, order="asc", after=ids[0])
    assert [video.id for video in page.data] == ids[1:3] and page.has_more is True and page.last_id == ids[2]
    assert client.videos.list(after=ids[3], order="asc").data[0].id == ids[4]
    assert client.models.list().data[0].id == "t2v-demo"


def test_a_video_is_deleted_and_its_folder_with_it(service: Service) -> None:
    client = service.client()
    video = client.videos.create(prompt=RED)
    folder = service.desk.entry(video.id).run_folder
    completed(service, video.id)
    gone = client.videos.delete(video.id)
    assert (gone.id, gone.deleted, gone.object) == (video.id, True, "video.deleted") and not folder.exists()
    for ask in (client.videos.retrieve, client.videos.delete, client.videos.download_content):
        with pytest.raises(openai.NotFoundError, match="there is no video"):
            ask(video.id)


def test_a_failed_video_says_why_and_not_where(service: Service) -> None:
    video = completed(service, service.client().videos.create(prompt="poison").id)
    assert video.status == "failed" and video.error.code == "generation_failed" and "is poison" in video.error.message
    assert str(service.desk.settings.folder) not in video.to_json()
    with pytest.raises(openai.NotFoundError, match="has no video now"):
        service.client().videos.download_content(video.id)


def test_a_video_is_cancelled_and_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, is_open=False) as service:
        id = service.client().videos.create(prompt=RED).id
        until(lambda: service.desk.entry(id).state == "running")
        assert service.client().videos.retrieve(id).status == "in_progress"
        status, _, body = service.ask("POST", f"/v1/videos/{id}/cancel")
        video = json.loads(body)
        assert (status, video["status"], video["error"]["code"]) == (200, "failed", "cancelled")
        service.maker.gate.set()
        assert json.loads(service.ask("POST", f"/v1/videos/{id}/resume")[2])["status"] in ("queued", "in_progress")
        assert completed(service, id).status == "completed"


def test_a_video_is_made_next(tmp_path: Path) -> None:
    with running(tmp_path, is_open=False) as service:
        ids = [service.client().videos.create(prompt=f"{RED} {n}").id for n in range(3)]
        until(lambda: service.desk.entry(ids[0]).state == "running")
        status, _, body = service.ask("POST", f"/v1/videos/{ids[2]}/prefer")
        video = json.loads(body)
        assert (status, video["id"], video["status"], video["wan"]["position"]) == (200, ids[2], "queued", 1)
        assert service.video(ids[1])["wan"]["position"] == 2
        assert json.loads(service.ask("POST", f"/v1/videos/{ids[0]}/prefer")[2])["status"] == "in_progress"
        assert service.ask("POST", "/v1/videos/video_x/prefer")[0] == 404
        assert service.ask("POST", f"/v1/videos/{ids[1]}/prefer?rank=3")[0] == 400
        assert service.ask("GET", f"/v1/videos/{ids[1]}/prefer")[0] == 405
        assert service.video(ids[1])["wan"]["position"] == 2
        service.maker.gate.set()
        until(lambda: service.desk.counts()["finished"] == 3)
        assert service.maker.made == [service.desk.entry(ids[n]).run_folder.name for n in (0, 2, 1)]


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"promt": RED}, "promt", "did you mean prompt"),
        ({"prompt": RED, "quality": "high"}, "quality", "is not a field"),
        ({"prompt": RED, "n": 2}, "n", "is not a field"),
        ({"prompt": RED, "user": "me"}, "user", "is not a field"),
        ({"prompt": RED, "cache": "sea"}, "cache", 'stands inside of "shortcuts"'),
        ({"prompt": RED, "shortcuts": {"cache": "tea"}}, "shortcuts.cache", "choose from"),
        ({"prompt": RED, "shortcuts": {"plan": "/etc/passwd"}}, "plan", "for the operator"),
        ({"prompt": RED, "shortcuts": 3}, "shortcuts", "holds fields of its own"),
        ({"prompt": RED, "budget": 7}, "budget", "at most 1"),
        ({"prompt": RED, "model": "sora-2"}, "model", "is not served here; choose one of t2v-demo"),
        ({"prompt": RED, "model": ["t2v-demo"]}, "model", "is not served here"),
        ({"prompt": RED, "model": "../../etc"}, "model", "is not served here"),
        ({"prompt": RED, "size": "1x1"}, "size", "--size"),
        ({"prompt": RED, "size": "big"}, "size", "is not of the form"),
        ({"prompt": RED, "seconds": "long"}, "seconds", "must be a number"),
        ({"prompt": RED, "seconds": -4}, "seconds", "must be a number"),
        ({"prompt": RED, "seconds": True}, "seconds", "must be a number"),
        ({"prompt": RED, "seconds": 600}, "seconds", "at most 4093"),
        ({"prompt": RED, "seconds": "4", "num_frames": 81}, "seconds", "give one of them"),
        ({"prompt": RED, "num_frames": "many"}, "num_frames", "invalid int"),
        ({"prompt": RED, "num_inference_steps": 0}, "num_inference_steps", "sample_steps"),
        ({"prompt": RED, "guidance_scale": [1, 2, 3]}, "guidance_scale", "one value, or two"),
        ({"prompt": RED, "guidance_scale": "nan"}, "guidance_scale", "finite"),
        ({"prompt": RED, "fps": 30}, "fps", "16 frames a second"),
        ({"prompt": RED, "seed": 2**64}, "seed", "from 0 to"),
        ({"prompt": RED, "image": "/etc/passwd"}, "image", "is not a field"),
        ({"prompt": RED, "ckpt_dir": "/"}, "ckpt_dir", "is not a field"),
        ({"prompt": RED, "input_reference": "/etc/passwd"}, "input_reference", "no address is opened"),
        ({"prompt": RED, "input_reference": {"file_id": "file_1"}}, "input_reference", "no address is opened"),
        (
            {"prompt": RED, "input_reference": {"image_url": "http://127.0.0.1/x.png"}},
            "input_reference",
            "no address is opened",
        ),
        ({"prompt": RED, "input_reference": "data:image/png;base64,!"}, "input_reference", "not base64"),
        ({"prompt": ""}, "prompt", "is missing"),
        ({}, "prompt", "is missing"),
        ({"prompt": 3 * "long " * 4000}, "prompt", "are the most"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_field(
    service: Service, body: dict[str, Any], param: str, words: str
) -> None:
    before = service.desk.ids()
    status, answer = service.post(body)
    error = answer["error"]
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param), error
    assert words in error["message"] and service.desk.ids() == before


def test_the_client_hears_the_sentence(service: Service) -> None:
    with pytest.raises(openai.BadRequestError, match="--frame_num 0 must be at least 1") as refused:
        service.client().videos.create(prompt=RED, extra_body={"num_frames": 0})
    assert refused.value.param == "num_frames"


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"{", "application/json", 400, "no JSON object"),
        (b"[]", "application/json", 400, "no JSON object"),
        (b'{"prompt": "a", "prompt": "b"}', "application/json", 400, "twice"),
        (b'{"prompt": NaN}', "application/json", 400, "NaN"),
        (b"[" * 100_000, "application/json", 400, "nested"),
        (b"\xff", "application/json", 400, "UTF-8"),
        (b"prompt=a", "application/x-www-form-urlencoded", 415, "multipart/form-data"),
        (b"x", "multipart/form-data", 400, "boundary"),
        (b"x", "multipart/form-data; boundary=b", 400, ""),
        (b"", "", 415, "content type"),
    ],
)
def test_bodies_that_are_none(service: Service, body: bytes, kind: str, status: int, words: str) -> None:
    found, _, answer = service.ask("POST", "/v1/videos", body, Content_Type=kind)
    assert found == status and words in json.loads(answer)["error"]["message"]


def test_addresses_and_parameters_that_are_none(service: Service) -> None:
    for method, path, status in (
        ("GET", "/v1/video", 404),
        ("PUT", "/v1/videos", 405),
        ("POST", "/v1/videos/x/remix", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("GET", "/v1/videos?limit=0", 400),
        ("GET", "/v1/videos?limit=1e9", 400),
        ("GET", "/v1/videos?order=up", 400),
        ("GET", "/v1/videos?after=video_x", 400),
        ("GET", "/v1/videos?folder=/", 400),
        ("GET", "/v1/videos/video_x?a=b", 400),
    ):
        found, _, body = service.ask(method, path)
        assert found == status and json.loads(body)["error"]["message"], (method, path, found)


def test_a_picture_in_a_form_or_in_a_data_url_is_looked_at(service: Service) -> None:
    """The demo model starts from text alone, and says so once the picture was read."""
    for given in (("red.png", picture(), "image/png"), BytesIO(picture())):
        with pytest.raises(openai.BadRequestError, match="starts from text alone") as refused:
            service.client().videos.create(prompt=RED, input_reference=given)
        assert refused.value.param == "input_reference"
    url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    for reference in (url, {"image_url": url}):
        status, answer = service.post({"prompt": RED, "input_reference": reference})
        assert status == 400 and "starts from text alone" in answer["error"]["message"]
    with pytest.raises(openai.BadRequestError, match="cannot be read as a picture"):
        service.client().videos.create(prompt=RED, input_reference=("x.png", b"no picture", "image/png"))


PATHS = (
    "/v1/videos/..%2f..%2fsecret/content",
    "/v1/videos/../../secret.txt",
    "/v1/videos/%2e%2e/content",
    "/v1/videos//etc/passwd/content",
    "/v1/videos/%2fetc%2fpasswd/content",
    "/v1/videos/video_%00/content",
    "/v1/videos/000000-000/content",
    "/files/../secret.txt",
    "/secret.txt",
    "/queue/000000.jsonl",
    "/..%5csecret.txt",
)


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_a_file(tmp_path: Path, service: Service, path: str) -> None:
    (service.desk.settings.folder.parent / "secret.txt").write_text("what nobody may read", encoding="utf-8")
    for method in ("GET", "DELETE", "POST"):
        status, _, body = service.ask(method, path)
        assert status in (400, 404, 405) and b"nobody" not in body


def test_50_clients_at_once_are_all_answered_and_none_is_lost(tmp_path: Path) -> None:
    with running(tmp_path, workers=2) as service:
        together = threading.Barrier(50)

        def ask(number: int) -> str:
            is_official = number % 10 == 0  # making one takes a tenth of a second
            client = service.client() if is_official else None
            together.wait()
            if client:
                return str(client.videos.create(prompt=f"{RED} {number}").id)
            status, video = service.post({"prompt": f"{RED} {number}"})
            assert status == 200
            return str(video["id"])

        with ThreadPoolExecutor(50) as pool:
            ids = list(pool.map(ask, range(50)))
        assert len(set(ids)) == 50
        until(lambda: service.desk.counts()["finished"] == 50, seconds=120)
        assert len(service.maker.made) == len(set(service.maker.made)) == 50
        prompts = {service.desk.entry(id).prompt for id in ids}
        assert prompts == {f"{RED} {number}" for number in range(50)}


def test_a_full_queue_answers_429_and_takes_exactly_what_it_may(tmp_path: Path) -> None:
    with running(tmp_path, is_open=False, max_queue=10) as service:
        first = service.client().videos.create(prompt=RED).id
        until(lambda: service.desk.entry(first).state == "running")

        def ask(number: int) -> bool:
            status, answer = service.post({"prompt": f"{number}"})
            assert status == 200 or (status, answer["error"]["code"]) == (429, "queue_full")
            return status == 200

        with ThreadPoolExecutor(20) as pool:
            assert sum(pool.map(ask, range(20))) == 10
        with pytest.raises(openai.RateLimitError, match="10 are the most") as full:
            service.client().videos.create(prompt=RED)
        assert int(full.value.response.headers["retry-after"]) >= 1
        service.maker.gate.set()
        until(lambda: service.desk.counts()["finished"] == 11)
        assert ask(99)


def test_health_and_metrics(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        status, _, body = service.ask("GET", "/health")
        assert status == 200 and json.loads(body)["status"] == "ok"
        id = service.client().videos.create(prompt=RED).id
        completed(service, id)
        completed(service, service.client().videos.create(prompt="poison").id)
        until(lambda: b'wan_video_seconds_count{model="t2v-demo"} 1.0' in service.ask("GET", "/metrics")[2])
        status, headers, body = service.ask("GET", "/metrics")
        lines = body.decode().splitlines()
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        for line in ('wan_requests{state="finished"} 1.0', 'wan_requests{state="failed"} 1.0', "wan_workers 1.0"):
            assert line in lines
        assert "wan_queue_length 0.0" in lines and "wan_queue_limit 100.0" in lines
        steps = next(float(line.split()[1]) for line in lines if line.startswith("wan_steps_total"))
        assert steps >= STEPS
        service.desk.stop()
        assert service.ask("GET", "/health")[0] == 503


def test_a_disk_that_is_full_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with running(tmp_path) as service:
        with monkeypatch.context() as patch:
            patch.setattr("wan.serve.desk.write_asked", full)
            status, answer = service.post({"prompt": RED})
            assert status == 507 and "disk" in answer["error"]["message"]
        assert [path.name for path in tmp_path.iterdir()] == ["queue"]
        assert service.post({"prompt": RED})[0] == 200
