"""Part ``network``: with a local checkpoint nothing is asked of a network, by any command."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.assault.bad_checkpoints import OFFICIAL
from tests.assault.checkpoint_assault import TASKS, request_flags
from tests.assault.child import TOUCHED
from tests.assault.children import ROOT, run_child
from tests.assault.trials import Plan, Trial
from tests.goldens import materialise

CHECKED = (
    "`generate`, `doctor` and `bench` on the demo model and on a checkpoint in the official "
    "layout, with no variable that says offline: every connection and name lookup is refused and counted, and where "
    "allowed the process has no network at all (`unshare -n`): all end with 0, none is counted."
)
_ALONE = ("unshare", "--net", "--")


def plan(folder: Path, sample: bool) -> Plan:
    """The trials of this part."""
    is_allowed = subprocess.run([*_ALONE, "true"], capture_output=True, check=False).returncode == 0
    before = _ALONE if is_allowed else ()
    run = folder / "demo"
    demo = ["--task", "t2v-demo", "--sample_steps", "3", "--frame_num", "9"]
    commands: dict[str, Sequence[str | Path]] = {
        "generate, demo model": ["generate", *demo, "--output_dir", run],
        "doctor, demo model": ["doctor", "--ckpt_dir", "checkpoints/t2v-demo"],
    }
    if not sample:
        official = materialise("t2v_A14B_unipc", folder / "official")
        flags = request_flags(official, TASKS[OFFICIAL], folder / "official_out")
        small = ["--frame_num", "5", "--sample_steps", "2", "--repeats", "1", "--variant=--cfg_truncate_steps 1"]
        commands |= {
            "bench, demo model": ["bench", "--task", "t2v-demo", *small],
            "generate, official layout": ["generate", *flags],
            "doctor, official layout": ["doctor", "--ckpt_dir", official],
            "bench, official layout": [
                "bench",
                "--task",
                TASKS[OFFICIAL],
                "--ckpt_dir",
                official,
                "--size",
                "64*64",
                *small,
            ],
        }
    trials = [Trial(name, lambda w=words, n=name: attack(w, folder / n, before)) for name, words in commands.items()]
    return Plan(trials=trials, left_out=[] if is_allowed else ["`unshare -n`"])


def attack(words: Sequence[str | Path], place: Path, before: Sequence[str]) -> str | None:
    touched = place / "touched"
    at_root = [ROOT / word if word == "checkpoints/t2v-demo" else word for word in words]
    ended = run_child(at_root, cwd=place, plan="offline@always", fresh=True, before=before, env={TOUCHED: str(touched)})
    if touched.exists():
        return f"asked the network: {touched.read_text()[:300]}"
    return None if ended.code == 0 else f"ended with {ended.code}: {ended.sentence[-300:]}"
