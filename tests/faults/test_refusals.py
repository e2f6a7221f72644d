"""What cannot work is refused before anything is loaded: exit 2, one sentence, no folder, in a dry run too."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import wan
from tests.faults.conftest import Refused
from wan import device_kind, memory
from wan.cli.main import run
from wan.commands import SOURCE_DIR
from wan.configs import WAN_CONFIGS
from wan.device_kind import can_have_cuda, refuse_machine
from wan.errors import InvalidInput
from wan.generation import generate
from wan.job import prepare
from wan.limits import MAX_SEED, check_seed
from wan.machine import Machine
from wan.request import Request
from wan.runs.writable import refuse_unwritable_file, refuse_unwritable_folder
from wan.shortcuts import Shortcuts

DEMO = ("--task", "t2v-demo", "--sample_steps", "2", "--frame_num", "5")
GIB = 2**30


@pytest.mark.parametrize("end", [(), ("--dry_run",)])
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--sample_shift", "nan"], "nan is not a finite number"),
        (["--sample_shift", "inf"], "inf is not a finite number"),
        (["--sample_shift=-inf"], "-inf is not a finite number"),
        (["--sample_shift", "1e300"], "must be a finite number, at most 1000"),
        (["--sample_guide_scale", "nan"], "nan is not a finite number"),
        (["--sample_guide_scale", "3", "inf"], "inf is not a finite number"),
        (["--sample_guide_scale", "1e30"], "must be a finite number, at most 1000"),
        (["--cache", "sea", "--cache_threshold", "nan"], "nan is not a finite number"),
        (["--cache", "mag", "--cache_retention", "nan"], "nan is not a finite number"),
        (["--budget", "nan"], "nan is not a finite number"),
        (["--base_seed", str(2**63)], f"must be a whole number from 0 to {MAX_SEED}, or -1 for a random one"),
        (["--base_seed", str(2**64)], f"must be a whole number from 0 to {MAX_SEED}"),
        (["--base_seed", "-2"], "or -1 for a random one"),
        (["--base_seed", "1.5"], "invalid int value: '1.5'"),
        (["--base_seed", "²"], "invalid int value"),
        (["--sample_steps", "0"], "--sample_steps 0 must be at least 1"),
        (["--sample_steps", "1000000000"], "must be at most 1000"),
        (["--sample_steps", "9" * 5000], "invalid int value"),
        (["--frame_num", "0"], "must be at least 1"),
        (["--frame_num", "1000000000"], "must be at most 4093"),
        (["--size", "1000000*1000000"], "has a width of 1000000 pixels, and 16384 are the most"),
        (["--size", "16*99999999999"], "is not of the form W*H"),
        (["--device", "gpu"], "is not a device name"),
        (["--device", "meta"], "is not a device name"),
        (["--device", "cpu", "--attention", "flash"], "--attention flash computes in bfloat16"),
        (["--device", "cpu", "--attention", "cudnn"], "--attention cudnn computes in bfloat16"),
        (["--device", "cpu", "--offload", "group"], "--offload group moves blocks from host memory to a GPU"),
    ],
)
def test_generate_refuses_before_it_loads(
    refused: Refused, flags: list[str], said: str, end: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wan.loading.models.load_expert", lambda *a, **k: pytest.fail("a weight was read"))
    assert said in refused("generate", *DEMO, *flags, *end)


@pytest.mark.parametrize(
    ("command", "flags", "said"),
    [
        ("compare", ["--seed", "0", str(2**63)], "--seed"),
        ("compare", ["--sample_shift", "nan", "--dry_run"], "not a finite number"),
        ("continuity", ["--seed", str(2**63)], "must be a whole number"),
        ("continuity", ["--sample_guide_scale", "inf"], "not a finite number"),
        ("continuity-demo", ["--correlation", "nan"], "not a finite number"),
        ("continuity-demo", ["--shift", "inf"], "not a finite number"),
        ("continuity-demo", ["--seed", str(2**63)], "--seed"),
        ("continuity-demo", ["--latent_frames", "1000000000"], "must be at most 1024"),
        ("continuity-demo", ["--num_inference_steps", "1000000000"], "must be at most 1000"),
        ("tune", ["--budgets", "0.5", "nan", "--dry_run"], "not a finite number"),
        ("tune", ["--trials", "1000000000"], "must be at most 1000000"),
        ("tune", ["--sample_shift", "nan", "--dry_run"], "not a finite number"),
        ("bench", ["--threads", "1000000000"], "must be at most 1024"),
        ("bench", ["--variant", "--sample_shift nan"], "not a finite number"),
        ("bench", ["--device", "cpu", "--attention", "flash"], "--attention flash computes"),
        ("bench arena", ["--device", "cpu", "--offload", "group", "--dry_run"], "--offload group"),
        ("bench arena", ["--threads", "1000000000"], "must be at most 1024"),
    ],
)
def test_every_command_refuses_numbers_that_cannot_be(
    refused: Refused, command: str, flags: list[str], said: str
) -> None:
    assert said in refused(command, *flags)


@pytest.mark.parametrize("seed", [-2, 2**63, 1.5, True, "1"])
def test_the_python_interface_refuses_the_same_seeds(seed: object) -> None:
    with pytest.raises(InvalidInput, match="must be a whole number from 0"):
        check_seed(seed, name="seed", random_allowed=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"shift": float("nan")}, "--sample_shift nan must be a finite number"),
        ({"guide_scale": (3.0, float("inf"))}, "--sample_guide_scale inf must be a finite number"),
        ({"seed": 2**63}, "seed 9223372036854775808 must be a whole number"),
        ({"sampling_steps": 10**9}, "must be at most 1000"),
        ({"frame_num": 10**9}, "must be at most 4093"),
        ({"size": (10**6, 10**6)}, "has a width of 1000000 pixels"),
        ({"cache": "sea", "cache_threshold": float("nan")}, "--cache_threshold nan"),
    ],
)
def test_the_python_interface_refuses_the_same_numbers(
    tiny_checkpoint: Path, arguments: dict[str, object], said: str
) -> None:
    pipeline = wan.WanT2V(WAN_CONFIGS["t2v-demo"], str(tiny_checkpoint))
    with pytest.raises(InvalidInput, match=said):
        pipeline.generate("cat", **{"size": (32, 32), "frame_num": 5, "sampling_steps": 1} | arguments)


def test_minus_one_is_a_random_seed_and_the_largest_seed_runs(tiny_checkpoint: Path, tmp_path: Path) -> None:
    flags = [*DEMO, "--ckpt_dir", str(tiny_checkpoint), "--size", "32*32", "--quiet", "--output_dir", str(tmp_path)]
    for seed in ("-1", str(MAX_SEED)):
        assert run("generate", [*flags, f"--base_seed={seed}"]) == 0


@pytest.mark.parametrize("end", [(), ("--dry_run",)])
@pytest.mark.parametrize(
    ("flag", "place", "said"),
    [
        ("--save_file", "folder.mp4", "it is a folder"),
        ("--save_file", "file/video.mp4", "is not a folder"),
        ("--save_file", "/proc/video.mp4", "cannot be written"),
        ("--save_file", "video.avi", "must end in .mp4"),
        ("--output_dir", "file", "is not a folder"),
        ("--output_dir", "file/inside", "is not a folder"),
        ("--output_dir", "/proc/outputs", "cannot hold results"),
        ("--text_cache", "file", "is not a folder"),
        ("--debug_output_dir", "file", "is not a folder"),
    ],
)
def test_generate_refuses_places_that_cannot_be_written(
    tmp_path: Path, refused: Refused, flag: str, place: str, said: str, end: tuple[str, ...]
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").write_text("precious", encoding="utf-8")
    debug = ["--enable_debug"] if flag == "--debug_output_dir" else []
    assert said in refused("generate", *DEMO, "--overwrite", *debug, flag, str(tmp_path / place), *end)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("compare", ["--output_dir"]),
        ("compare", ["--dry_run", "--output_dir"]),
        ("continuity", ["--output_dir"]),
        ("continuity-demo", ["--output_dir"]),
        ("bench arena", ["--dry_run", "--output_dir"]),
        ("tune", ["--dry_run", "--work_dir"]),
        ("convert", ["somewhere"]),
        ("download", ["--task", "t2v-A14B", "--output_dir"]),
    ],
)
def test_every_command_refuses_a_file_where_its_folder_goes(
    tmp_path: Path, refused: Refused, command: str, flags: list[str]
) -> None:
    (tmp_path / "file").write_text("precious", encoding="utf-8")
    assert "is not a folder" in refused(command, *flags, str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("command", "flags", "name"),
    [("bench", [], "a.json"), ("tune", ["--dry_run"], "a.json"), ("report", ["x"], "a.html")],
)
def test_every_command_refuses_a_result_file_that_cannot_be(
    tmp_path: Path, refused: Refused, command: str, flags: list[str], name: str
) -> None:
    (tmp_path / "file").write_text("precious", encoding="utf-8")
    assert "is not a folder" in refused(command, *flags, "--output", str(tmp_path / "file" / name))


def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, whom no permission stops: the operating system's answer is put in its place."""

    def forbidden(**_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("wan.runs.writable.tempfile.TemporaryFile", forbidden)
    with pytest.raises(InvalidInput, match=r"--output_dir .* cannot hold results \(Permission denied\)"):
        refuse_unwritable_folder(tmp_path / "a" / "b", flag="--output_dir")
    with pytest.raises(InvalidInput, match=r"--save_file .* cannot be written \(Permission denied\)"):
        refuse_unwritable_file(tmp_path / "video.mp4", flag="--save_file")
    assert run("generate", [*DEMO, "--output_dir", str(tmp_path / "a"), "--dry_run"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_too_long_are_refused_and_missing_folders_are_not(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"File name too long|a name of 300 bytes"):
        refuse_unwritable_file(tmp_path / "a" / ("x" * 300), flag="--save_file")
    refuse_unwritable_file(tmp_path / "a" / "b" / "video.mp4", flag="--save_file")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_checked_by_the_python_interface_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    job = prepare(Request(task="t2v-demo", output_dir=tmp_path / "file"))
    with pytest.raises(InvalidInput, match=r"--output_dir .* is not a folder"):
        generate(job, say=pytest.fail)


def test_a_device_that_cannot_be_here_is_refused_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    config = WAN_CONFIGS["t2v-A14B"]
    monkeypatch.setattr(device_kind, "can_have_cuda", lambda: False)
    with pytest.raises(InvalidInput, match="--device cuda:1 is not here"):
        refuse_machine(Machine(device="cuda:1"), config)
    with pytest.raises(InvalidInput, match="--attention sage"):
        refuse_machine(Machine(attention="sage"), config)  # automatic: only the CPU is left
    monkeypatch.setattr(device_kind, "can_have_cuda", lambda: True)
    refuse_machine(Machine(device="cuda:1", attention="sage", offload="group"), config)
    with pytest.raises(InvalidInput, match="--attention sage"):
        refuse_machine(Machine(device="cpu", attention="sage"), config)


def test_whether_cuda_can_be_here_is_read_from_torch_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(device_kind, "_DRIVERS", ("/",))
    if sys.platform == "linux":
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        assert can_have_cuda() == (torch.version.cuda is not None or torch.version.hip is not None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not can_have_cuda()


def test_compiling_without_a_compiler_is_refused_before_the_run_folder(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wan.models.engine.why_not_compile", lambda device: "there is no compiler")
    assert "there is no compiler" in refused("generate", *DEMO, "--compile")


def test_memory_that_surely_does_not_suffice_is_refused_with_both_figures(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "machine_bytes", lambda: 24 * GIB)
    flags = ("--random_weights", "--task", "t2v-A14B", "--device", "cpu")
    said = refused("bench", *flags)
    assert "at least 56.2 GB for the weights of 2 experts" in said and "this machine has 25.8 GB" in said
    assert "at least 28.1 GB for the weights of one expert" in refused("bench", *flags, "--offload", "expert")
    monkeypatch.setattr(memory, "machine_bytes", lambda: 10**6)
    for end in ((), ("--dry_run",)):
        assert "this machine has 0.0 GB" in refused("generate", *DEMO, "--device", "cpu", *end)
    assert run("generate", [*DEMO, "--device", "cpu", "--dry_run", "--ignore_memory_check"]) == 0


def test_pricing_without_a_checkpoint_only_says_that_memory_does_not_suffice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "machine_bytes", lambda: 24 * GIB)
    assert run("generate", ["--task", "t2v-A14B", "--device", "cpu", "--dry_run"]) == 0
    assert "this run needs at least 28.1 GB" in capsys.readouterr().out
    monkeypatch.setattr(memory, "machine_bytes", lambda: 200 * GIB)
    assert run("generate", ["--task", "t2v-A14B", "--device", "cpu", "--dry_run"]) == 0
    assert "this run needs" not in capsys.readouterr().out


def test_the_need_grows_with_what_is_kept_and_how(monkeypatch: pytest.MonkeyPatch) -> None:
    job = prepare(Request(task="t2v-A14B", prompt="x", machine=Machine(device="cpu")))
    size = memory.DenoiserSize(dim=5120, ffn_dim=13824, num_layers=40, text_len=512)
    how = {"machine": job.request.machine}
    need = memory.need_of(job.config, size, job.geometry, **how)
    assert need.weights == pytest.approx(28.1e9, rel=0.01)
    both = replace(job.request.machine, offload="none", dtype="float32")
    assert memory.need_of(job.config, size, job.geometry, machine=both).weights == 4 * need.weights
    assert memory.need_of(job.config, size, job.geometry, text=90 * GIB, **how).total == 90 * GIB
    # on a GPU it is not this machine's memory that counts
    monkeypatch.setattr(memory, "machine_bytes", lambda: 1)
    monkeypatch.setattr(device_kind, "can_have_cuda", lambda: True)
    assert memory.why_too_little(need, Machine()) is None
    assert memory.why_too_little(need, Machine(device="cpu")) is not None


def test_limits_of_the_control_group_and_of_the_shell_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_own_cgroups", lambda: [tmp_path])
    whole = memory.machine_bytes()
    (tmp_path / "memory.max").write_text("1000000\n", encoding="utf-8")
    (tmp_path / "memory.swap.max").write_text("0\n", encoding="utf-8")
    assert memory.machine_bytes() == 10**6 < whole
    (tmp_path / "memory.max").write_text("max\n", encoding="utf-8")
    assert memory.machine_bytes() == whole
    script = "from wan.memory import machine_bytes; print(machine_bytes())"
    limited = ["sh", "-c", f"ulimit -v 2000000; exec {sys.executable} -c '{script}'"]
    answer = subprocess.run(limited, cwd=SOURCE_DIR, capture_output=True, text=True, timeout=60, check=True)
    assert int(answer.stdout) <= 2_000_000 * 1024


def test_the_largest_video_that_can_be_asked_for_is_planned() -> None:
    request = Request(task="t2v-A14B", prompt="x", size=(16384, 16), frame_num=4093, sample_steps=1)
    assert prepare(request).geometry.tokens(1024) == 1024 * 1024
    with pytest.raises(InvalidInput, match="--cache_threshold inf"):
        Shortcuts(cache="sea", cache_threshold=float("inf"))
