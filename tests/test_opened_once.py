"""One owner opens things: a run of the demo model opens its checkpoint once and reads every file's header once."""

import os
from collections import Counter
from pathlib import Path

import pytest

from wan.cli.main import run
from wan.loading import files, headers, layouts

FAST = ["--task", "t2v-demo", "--sample_steps", "2", "--frame_num", "5", "--base_seed", "0", "--quiet"]


def test_a_demo_run_opens_everything_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    headers._entries_of_state.cache_clear()
    files._json_of_state.cache_clear()
    opened: list[Path] = []
    check = layouts.checkpoint_problems
    monkeypatch.setattr(
        layouts, "checkpoint_problems", lambda config, path, **more: opened.append(path) or check(config, path, **more)
    )
    read: Counter[Path] = Counter()
    original = os.open

    def counted(path: str | Path, *args: int, **more: int) -> int:
        read[Path(path)] += Path(path).suffix == ".safetensors"
        return original(path, *args, **more)

    monkeypatch.setattr(os, "open", counted)
    monkeypatch.setattr("wan.run_sections.checkpoint_identity", lambda path: {"id": ""})  # hashes the files, a record
    assert run("generate", [*FAST, "--output_dir", str(tmp_path)]) == 0
    assert len(opened) == 1
    assert sum(count > 0 for count in read.values()) == 4
    headers_read = headers._entries_of_state.cache_info()
    assert headers_read.misses == 4 and headers_read.hits > 4
    assert files._json_of_state.cache_info().misses <= 8
