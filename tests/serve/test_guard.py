"""Who is let in: the token, the Host and Origin headers, body sizes, the login, and what a browser may do."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.service import RED, TOKEN, Service, running

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API")

BEARER = {"Authorization": f"Bearer {TOKEN}"}
ALL = (
    ("GET", "/v1/videos"),
    ("POST", "/v1/videos"),
    ("GET", "/v1/videos/video_x"),
    ("GET", "/v1/videos/video_x/content"),
    ("DELETE", "/v1/videos/video_x"),
    ("POST", "/v1/videos/video_x/cancel"),
    ("POST", "/v1/videos/video_x/prefer"),
    ("POST", "/v1/videos/video_x/resume"),
    ("GET", "/v1/models"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("GET", "/anything"),
)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("locked"), token=TOKEN) as found:
        yield found


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("local"), max_upload=2**20) as found:
        yield found


@pytest.mark.parametrize(("method", "path"), ALL)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer \xff\xfe"},
        {"Cookie": f"wan_session={TOKEN}"},
        {"Cookie": "wan_session="},
    ],
    ids=["none", "empty", "bare", "basic", "short", "long", "latin", "cookie", "empty cookie"],
)
def test_nothing_is_answered_without_the_token(
    locked: Service, method: str, path: str, headers: dict[str, str]
) -> None:
    status, found, body = locked.ask(method, path, **headers)
    assert status == 401 and found["www-authenticate"] == "Bearer"
    assert json.loads(body)["error"]["type"] == "authentication_error"


def test_with_the_token_everything_is_answered(locked: Service) -> None:
    for method, path in ALL:
        assert locked.ask(method, path, **BEARER)[0] != 401
    openai = pytest.importorskip("openai")
    assert locked.client(TOKEN).videos.create(prompt=RED).status in ("queued", "in_progress", "completed")
    with pytest.raises(openai.AuthenticationError):
        locked.client("another token of some length").videos.list()


def test_health_needs_no_token_and_says_little(locked: Service) -> None:
    status, _, body = locked.ask("GET", "/health")
    assert status == 200 and set(json.loads(body)) == {"status", "version", "workers", "workers_wanted"}


def test_a_browser_logs_in_with_the_token(locked: Service) -> None:
    status, headers, _ = locked.ask("GET", "/", Accept="text/html")
    assert (status, headers["location"]) == (303, "/login")
    status, headers, body = locked.ask("GET", "/login")
    assert status == 200 and b'type="password"' in body and "default-src 'none'" in headers["content-security-policy"]
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert locked.ask("POST", "/login", b"token=wrong", **form)[0] == 401
    status, headers, _ = locked.ask("POST", "/login", f"token={TOKEN}".encode(), **form)
    cookie = headers["set-cookie"]
    assert status == 303 and "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    session = cookie.split(";")[0]
    assert locked.ask("GET", "/v1/videos", Cookie=f"other=1; {session}")[0] == 200
    assert locked.ask("POST", "/v1/videos", b"", Cookie=session, Origin="http://evil.example")[0] == 403
    assert (
        "Secure"
        in locked.ask("POST", "/login", f"token={TOKEN}".encode(), X_Forwarded_Proto="https", **form)[1]["set-cookie"]
    )


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::2]", "a@b", "[", "localhost, x"],
)
def test_a_name_that_was_rebound_is_refused(local: Service, host: str) -> None:
    assert local.ask("GET", "/v1/videos", Host=host)[0] in (400, 403)


def test_the_names_of_this_machine_are_taken(local: Service) -> None:
    port = local.url.rpartition(":")[2]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"LOCALHOST:{port}", "[::1]", "localhost"):
        assert local.ask("GET", "/v1/videos", Host=host)[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://localhost:1", "http://[", ""])
def test_another_site_is_refused_and_gets_no_cors(local: Service, origin: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        status, headers, _ = local.ask(method, "/v1/videos", b"", Origin=origin)
        assert status == 403 and not [name for name in headers if name.startswith("access-control")]
    assert local.ask("GET", "/v1/videos", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403


def test_the_services_own_page_is_let_through(local: Service) -> None:
    status, headers, _ = local.ask("GET", "/v1/videos", Origin=local.url)
    assert status == 200 and headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin" and headers["x-frame-options"] == "DENY"
    assert not [name for name in headers if name.startswith("access-control")] and "server" not in headers


def test_a_body_that_says_it_is_too_large_is_not_read(local: Service) -> None:
    status, _, body = local.ask("POST", "/v1/videos", None, Content_Length=str(2**40), Content_Type="application/json")
    assert status == 413 and b"the most here" in body


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
def test_a_body_that_does_not_say_its_size_is_cut_off(local: Service, kind: str) -> None:
    host, port = local.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        start = b'--b\r\nContent-Disposition: form-data; name="input_reference"; filename="x.png"\r\n\r\n'
        yield start if "form" in kind else b'{"prompt": "'
        for _ in range(1000):
            sent += 2**16
            yield b"x" * 2**16

    try:
        connection.request("POST", "/v1/videos", body=pieces(), headers={"Content-Type": kind}, encode_chunked=True)
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was hung up on
    finally:
        connection.close()
    assert sent < 20 * 2**20, "64 MiB were on offer"
    assert local.ask("GET", "/v1/videos")[0] == 200


def test_a_picture_that_is_too_large_is_refused(local: Service) -> None:
    openai = pytest.importorskip("openai")
    with pytest.raises(openai.BadRequestError, match="1,048,576 are the most"):
        local.client().videos.create(prompt=RED, input_reference=("x.png", b"x" * (2**20 + 1), "image/png"))


def test_a_form_with_many_fields_or_files_is_refused(local: Service) -> None:
    part = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\nx\r\n'
    file = '; filename="x.png"'
    for parts in (
        [part.format(f"f{n}", "") for n in range(100)],
        [part.format("input_reference", file)] * 2,
        [part.format("other", file)],
        [part.format("prompt", "")] * 2,
        [part.format("a[b][c]", "")],
        [part.format("shortcuts", ""), part.format("shortcuts[cache]", "")],
    ):
        body = "".join([*parts, "--b--\r\n"]).encode()
        assert local.ask("POST", "/v1/videos", body, Content_Type="multipart/form-data; boundary=b")[0] == 400


def test_a_name_that_a_proxy_uses_is_taken(tmp_path: Path) -> None:
    with running(tmp_path, token=TOKEN, hosts=["localhost", "videos.example"]) as service:
        answered = service.ask("GET", "/v1/videos", Host="videos.example", Origin="https://videos.example", **BEARER)
        assert answered[0] == 200
