"""Starts the processes of a group as torchrun does, without its own process, which costs seconds."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def launched(ranks: int, *words: str, log: Path) -> list[subprocess.Popen[str]]:
    """``python words`` as every rank of a group; what rank r says goes to ``log/rank_r.out`` and ``.err``."""
    log.mkdir(parents=True, exist_ok=True)
    common = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(ranks),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    processes = []
    for rank in range(ranks):
        with (log / f"rank_{rank}.out").open("w") as out, (log / f"rank_{rank}.err").open("w") as err:
            processes.append(
                subprocess.Popen(
                    [sys.executable, *words],
                    cwd=ROOT,
                    env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                    stdout=out,
                    stderr=err,
                    text=True,
                )
            )
    return processes


def finished(processes: Sequence[subprocess.Popen[str]], *, seconds: float) -> list[int]:
    """Their exit codes; whoever is left after that time is killed, and the test fails."""
    try:
        return [process.wait(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def said(log: Path, rank: int) -> str:
    """What a rank wrote to both streams."""
    return (log / f"rank_{rank}.out").read_text() + (log / f"rank_{rank}.err").read_text()
