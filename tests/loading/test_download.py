"""Downloading, against a stub of huggingface_hub's and modelscope's clients: these tests reach no network.

The stub serves a checkpoint of the goldens as a repository. That the real hubs hold the files that the patterns name
is not tested here; ``--dry_run`` shows it.
"""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import errors

from tests.goldens import materialise
from tests.stub_hub import SHA, StubHub, serve
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput, WanError
from wan.loading import download
from wan.loading.doctor import diagnose
from wan.loading.download import check_disk, fetch, patterns_for, plan_download, repository_for
from wan.loading.download_hubs import HuggingFace, ModelScope
from wan.loading.fingerprint import read_manifest
from wan.loading.layouts import LAYOUTS

T2V = WAN_CONFIGS["t2v-A14B"]
SHARD = "high_noise_model/diffusion_pytorch_model-00001-of-00002.safetensors"
UNNEEDED = ("README.md", "assets/logo.png", "examples/i2v_input.JPG", "nohup.out", ".gitattributes")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = materialise("t2v_A14B_unipc", tmp_path_factory.mktemp("repository"), shards=2)
    for name in UNNEEDED:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not needed")
    return folder


@pytest.fixture
def stub(repository: Path, monkeypatch: pytest.MonkeyPatch) -> StubHub:
    return serve(repository, monkeypatch)


@pytest.fixture
def modelscope(stub: StubHub, monkeypatch: pytest.MonkeyPatch) -> StubHub:
    """The package as its version 1.40 names things."""
    api, failures, package = (
        ModuleType("modelscope.hub.api"),
        ModuleType("modelscope.hub.errors"),
        ModuleType("modelscope"),
    )
    failures.NotExistError = type("NotExistError", (Exception,), {})  # type: ignore[attr-defined]
    api.HubApi = lambda: stub  # type: ignore[attr-defined]
    package.snapshot_download = stub.snapshot_download  # type: ignore[attr-defined]
    for module in (api, failures, package):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return stub


def test_a_download_is_the_needed_files_whole_and_healthy(stub: StubHub, tmp_path: Path) -> None:
    hub, folder = HuggingFace(), tmp_path / "ckpt"
    plan = plan_download(hub, T2V, "official", folder)
    assert (plan.snapshot.repository, plan.snapshot.revision) == ("Wan-AI/Wan2.2-T2V-A14B", SHA)
    fetch(hub, plan)
    assert stub.fetched and not set(UNNEEDED) & set(stub.fetched)
    assert not diagnose(folder, T2V).problems
    manifest = read_manifest(folder)
    assert manifest and manifest.finished and SHARD in manifest.files
    assert manifest.origin == f"huggingface:Wan-AI/Wan2.2-T2V-A14B@{SHA}"


def test_only_what_is_missing_or_damaged_is_fetched_again(stub: StubHub, tmp_path: Path) -> None:
    hub = HuggingFace()
    fetch(hub, plan_download(hub, T2V, "official", tmp_path))
    stub.fetched.clear()
    fetch(hub, plan_download(hub, T2V, "official", tmp_path))
    assert stub.fetched == []
    (tmp_path / "Wan2.1_VAE.pth").unlink()
    shard = tmp_path / SHARD
    shard.write_bytes(shard.read_bytes()[:-7])
    other = tmp_path / SHARD.replace("high", "low")
    other.write_bytes(b"\xff" * other.stat().st_size)  # the right size, and no header
    plan = plan_download(hub, T2V, "official", tmp_path)
    assert set(plan.broken) == {SHARD, SHARD.replace("high", "low")}
    fetch(hub, plan)
    assert set(stub.fetched) == {*plan.broken, "Wan2.1_VAE.pth"}
    assert not diagnose(tmp_path, T2V).problems


def test_a_damaged_file_is_out_of_the_way_before_the_client_looks(
    stub: StubHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """huggingface_hub does not look again at a file that it has downloaded once."""
    hub = HuggingFace()
    fetch(hub, plan_download(hub, T2V, "official", tmp_path))
    (tmp_path / SHARD).write_bytes(b"short")
    seen: list[bool] = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *args, **kwargs: seen.append((tmp_path / SHARD).exists())
    )
    fetch(hub, plan_download(hub, T2V, "official", tmp_path))
    assert seen == [False]


def test_modelscope_serves_the_same(modelscope: StubHub, tmp_path: Path) -> None:
    hub = ModelScope()
    plan = plan_download(hub, T2V, "official", tmp_path)
    assert plan.snapshot.revision == "master"
    assert "high_noise_model" not in {file.name for file in plan.wanted}
    fetch(hub, plan)
    assert not diagnose(tmp_path, T2V).problems


def test_without_its_package_modelscope_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modelscope.hub.api", None)
    monkeypatch.setitem(sys.modules, "modelscope", None)
    with pytest.raises(InvalidInput, match="run `pip install modelscope`"):
        plan_download(ModelScope(), T2V, "official", tmp_path)


def test_the_disk_is_checked_before_anything_is_fetched(
    stub: StubHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_download(HuggingFace(), T2V, "official", tmp_path / "ckpt")
    monkeypatch.setattr(download, "free_bytes", lambda path: plan.wanted_bytes)
    check_disk(plan)
    monkeypatch.setattr(download, "free_bytes", lambda path: plan.wanted_bytes - 1)
    with pytest.raises(InvalidInput, match=r"needs 1\.31 MB more and its disk has 1\.31 MB free"):
        fetch(HuggingFace(), plan)
    assert stub.fetched == [] and not (tmp_path / "ckpt").exists()


def failing(error: Exception) -> Callable[..., None]:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    return fail


def hub_error(kind: type[errors.HfHubHTTPError]) -> errors.HfHubHTTPError:
    return kind("the hub's long answer\nover several lines", response=SimpleNamespace(headers={}, request=None))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "raised", "expected"),
    [
        (hub_error(errors.RepositoryNotFoundError), InvalidInput, "has no public repository Wan-AI/Wan2.2-T2V-A14B"),
        (hub_error(errors.RevisionNotFoundError), InvalidInput, "at --revision v9; give a branch, tag or commit"),
        (hub_error(errors.HfHubHTTPError), WanError, "did not deliver .*; run the same command again, it resumes"),
        (OSError("no route to host"), WanError, r"did not deliver \(no route to host\)"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(
    error: Exception, raised: type[WanError], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", failing(error))
    with pytest.raises(raised, match=expected) as refusal:
        plan_download(HuggingFace(), T2V, "official", tmp_path, revision="v9")
    assert "\n" not in str(refusal.value)
    assert isinstance(refusal.value, InvalidInput) == (raised is InvalidInput)


def test_an_interrupted_transfer_says_how_to_go_on(
    stub: StubHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_download(HuggingFace(), T2V, "official", tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", failing(ConnectionResetError("reset by peer")))
    with pytest.raises(WanError, match=r"did not deliver \(reset by peer\); run the same command again, it resumes"):
        fetch(HuggingFace(), plan)
    assert read_manifest(tmp_path) is None


def test_a_repository_without_the_files_is_refused(stub: StubHub, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"holds none of model_index\.json"):
        plan_download(HuggingFace(), T2V, "diffusers", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="is a file; give a folder"):
        plan_download(HuggingFace(), T2V, "official", tmp_path / "file")


def test_the_demo_needs_no_download() -> None:
    with pytest.raises(InvalidInput, match="ships with the project and needs no download"):
        repository_for(WAN_CONFIGS["t2v-demo"], "official")


@pytest.mark.parametrize("task", [name for name, config in WAN_CONFIGS.items() if config.repositories])
def test_every_task_has_both_layouts_published(task: str) -> None:
    for layout in LAYOUTS:
        assert repository_for(WAN_CONFIGS[task], layout.name).startswith("Wan-AI/")


def test_the_real_client_takes_what_the_stub_takes() -> None:
    """Nothing is called: the arguments are only bound to the signatures of the installed version."""
    inspect.signature(huggingface_hub.HfApi.model_info).bind("api", "repository", revision=None, files_metadata=True)
    inspect.signature(huggingface_hub.snapshot_download).bind(
        "repository", revision=SHA, local_dir=Path("folder"), allow_patterns=["name"]
    )


def test_the_patterns_of_each_kind_of_task() -> None:
    single = ("models_t5_umt5-xxl-enc-bf16.*", "google/umt5-xxl/*")
    assert patterns_for(T2V, "official") == ("high_noise_model/*", "low_noise_model/*", "Wan2.1_VAE.*", *single)
    assert patterns_for(WAN_CONFIGS["ti2v-5B"], "official") == (
        "config.json",
        "diffusion_pytorch_model*",
        "Wan2.2_VAE.*",
        *single,
    )
    assert {"xlm-roberta-large/*", "models_clip_open-clip-xlm-roberta-large-vit-huge-14.*"} <= set(
        patterns_for(WAN_CONFIGS["i2v-14B"], "official")
    )
    diffusers = patterns_for(WAN_CONFIGS["i2v-14B"], "diffusers")
    assert diffusers[0] == "model_index.json" and "image_encoder/*" in diffusers and "transformer_2/*" not in diffusers
    assert "transformer_2/*" in patterns_for(T2V, "diffusers")
