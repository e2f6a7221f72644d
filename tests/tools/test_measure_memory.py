"""tools/measure_memory.py and measure_precision.py: the synthetic checkpoint, the probes, the tables, refusals."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import measure_memory
import measure_precision
from memory import watch as memory_watch
from memory.probe import whole_run
from memory.synthetic import TINY, denoiser_shapes, text_shapes, write_checkpoint
from memory.watch import Memory
from tests.tools.conftest import RunTool
from wan.configs import WAN_CONFIGS
from wan.loading.doctor import diagnose

DATA = Path(__file__).parents[1] / "data"
MIB = 2**20
FLAGS = ["--stored", "float32"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "tiny"
    return write_checkpoint(folder, TINY, stored=torch.float32, on_bytes=lambda count: None)


def test_the_names_and_shapes_are_the_official_ones() -> None:
    sizes = replace(TINY, layers=2, text_layers=2)
    for shapes, name in ((denoiser_shapes, "weights_dit_t2v-A14B_high"), (text_shapes, "weights_t5")):
        official = {key: tuple(tensor.shape) for key, tensor in load_file(DATA / f"{name}.safetensors").items()}
        assert dict(shapes(sizes)) == official


def test_the_checkpoint_is_healthy_and_its_experts_differ(tiny: Path) -> None:
    problems = diagnose(tiny, WAN_CONFIGS["t2v-A14B"]).problems
    assert [problem.sentence for problem in problems] == []
    high, low = (
        load_file(sorted((tiny / name).glob("*-00001-*"))[0]) for name in ("high_noise_model", "low_noise_model")
    )
    assert high.keys() == low.keys() and {tensor.dtype for tensor in high.values()} == {torch.float32}
    assert not torch.equal(high["blocks.0.self_attn.q.weight"], low["blocks.0.self_attn.q.weight"])


def test_a_whole_run_makes_its_video_from_it(tiny: Path, tmp_path: Path) -> None:
    whole_run(tiny, "bfloat16", "cpu", "expert", tmp_path)
    assert list(tmp_path.glob("outputs/*/video.mp4"))


def test_the_sizes_are_whole_layers_of_a14b() -> None:
    one, two = (measure_memory.sizes_for(gigabytes, torch.bfloat16) for gigabytes in (1.2, 2.0))
    assert (one.layers, two.layers, two.dim, two.text_dim) == (1, 2, 5120, 4096)
    assert two.expert_elements() * 2 == pytest.approx(1.87e9, rel=0.01)
    whole = replace(one, layers=40)
    assert whole.expert_elements() == 14_288_491_584  # of the published experts


WATCHED = """
import mmap, sys
from pathlib import Path
import door  # finds the package where it is not installed
from memory import watch as memory_watch
MIB = 2**20
file = Path(sys.argv[1])
file.write_bytes(bytes(64 * MIB))
before = memory_watch._status()
with memory_watch.MemoryWatch() as watch:
    # from the system itself: malloc may have room at hand, as MALLOC_* in the environment say
    block = mmap.mmap(-1, 32 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block[:: mmap.PAGESIZE] = b"1" * (len(block) // mmap.PAGESIZE)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) == 0
        watch._look()
peak = watch.peak()
print((peak.allocated - before["RssAnon"]) // MIB, (peak.mapped - before["RssFile"] - before["RssShmem"]) // MIB)
assert peak.resident >= before["VmRSS"]
"""


def test_allocated_and_mapped_memory_are_told_apart(tmp_path: Path) -> None:
    # a process of its own: in this one an allocation may find room that an earlier test has freed
    result = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tmp_path / "mapped")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2] / "tools",
        check=True,
    )
    allocated, mapped = map(int, result.stdout.split())
    assert 28 < allocated < 48
    assert 60 < mapped < 80


@pytest.mark.parametrize("probe", ["load", "convert"])
def test_a_probe_runs_in_its_own_process(probe: str, tiny: Path) -> None:
    args = measure_memory.build_parser().parse_args(FLAGS)
    peak = measure_memory.run_probe(probe, tiny, args)
    assert 50 * MIB < peak.allocated <= peak.resident < 4096 * MIB


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Memory]], None]:
    """Let every probe of the large checkpoint, which is as small as the other, answer with given peaks."""

    def serve(peaks: dict[str, Memory]) -> None:
        nothing = Memory(allocated=0, mapped=0, resident=0)
        monkeypatch.setattr(measure_memory, "sizes_for", lambda gigabytes, dtype: TINY)
        monkeypatch.setattr(
            measure_memory, "run_probe", lambda what, folder, args: peaks[what] if folder.name == "large" else nothing
        )

    return serve


def test_claims_are_judged_by_resident_memory(
    tool: RunTool, probes: Callable[[dict[str, Memory]], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expert, both = TINY.expert_elements() * 2, (TINY.expert_elements() + TINY.text_elements()) * 2
    probes(
        {
            "load": Memory(allocated=expert, mapped=0, resident=int(1.09 * expert)),
            "expert": Memory(allocated=both, mapped=0, resident=both + 1),
            "none": Memory(allocated=both, mapped=0, resident=9 * both),
            "convert": Memory(allocated=0, mapped=0, resident=0),
        }
    )
    output = tmp_path / "memory.json"
    assert tool(measure_memory, [*FLAGS, "--work_dir", str(tmp_path), "--output", str(output)]) == 0
    rows: list[dict[str, Any]] = json.loads(output.read_text(encoding="utf-8"))["rows"]
    assert [row["claim"] for row in rows] == ["<= 1.1: met", "<= 1: NOT MET", "none", "none"]
    assert rows[0]["size_bytes"] == expert and rows[1]["size_bytes"] == both
    assert "| loading one expert | float32 |" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [output]  # the checkpoint is gone


def test_a_probe_that_fails_is_one_sentence_and_leaves_nothing(
    tool: RunTool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure_memory, "sizes_for", lambda gigabytes, dtype: TINY)
    monkeypatch.setattr(measure_memory, "PROBE", "memory.absent")
    assert tool(measure_memory, [*FLAGS, "--work_dir", str(tmp_path)]) == 1
    assert "failed: the measurement 'load' ended with" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--gigabytes", "0.1"], "--gigabytes 0.1 must be at least 1.2, which one layer takes"),
        (["--gigabytes", "nan"], "nan is not a finite number"),
        (["--gigabytes", "inf"], "inf is not a finite number"),
        (["--gigabytes", "1000000"], "give a smaller --gigabytes, or another --work_dir"),
        (["--work_dir", "nowhere"], "--work_dir nowhere is not a folder"),
        (["--device", "cuda:99"], "cuda:99 is not here"),
        (["--stored", "int8"], "invalid choice: 'int8'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    flags: list[str], expected: str, tool: RunTool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tool(measure_memory, flags) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and expected in captured.err and captured.err.count("\n") == 1


def test_other_systems_are_refused(
    tool: RunTool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory_watch, "STATUS", tmp_path / "absent")
    assert tool(measure_memory, []) == 2
    assert "which only Linux has" in capsys.readouterr().err


def test_bfloat16_is_as_far_from_float32_as_documented(tool: RunTool, capsys: pytest.CaptureFixture[str]) -> None:
    rows = measure_precision.measure(torch.bfloat16)
    denoisers, text = rows[:-3], rows[-3:]
    assert len(denoisers) == 8
    for row in denoisers:
        assert 3.5e-3 < row.mean < 6e-3 and row.largest < 4e-2, row
    assert [row.what for row in text[:2]] == ["umT5 eager", "umT5 sdpa"]
    assert all(0 < row.mean < 2e-2 for row in text)
    assert tool(measure_precision, ["--dtype", "float32"]) == 2
    assert "invalid choice: 'float32'" in capsys.readouterr().err
