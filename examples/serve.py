"""How another program makes many videos with one loaded pipeline: prompt, seed and shortcuts differ, weights stay.

    python examples/serve.py             writes outputs/serve_0.mp4, serve_1.mp4 and serve_3.mp4

One pipeline serves one request at a time: its models keep state while they work. ``Studio`` makes callers wait.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import wan
from wan.configs import WAN_CONFIGS, parse_size
from wan.console import lasting_streams
from wan.errors import InvalidInput
from wan.runs.video import write_video
from wan.sampling.observers import Observer, StepEvent

YELLOW = "a yellow square bouncing on a purple background"
RED = "a red circle moving right on a blue background"
REQUESTS: tuple[tuple[str, int, dict[str, Any]], ...] = (  # prompt, seed, shortcuts
    (RED, 0, {}),
    (YELLOW, 7, {"cfg_truncate_steps": 5}),
    (RED, 0, {"frame_completion": "interpolate"}),  # refused: it lacks the flag of the next one
    (RED, 0, {"frame_completion": "interpolate", "enable_half_frame_generation": True}),
)


class Progress(Observer):
    """Tells the caller how many steps are done; an observer sees a run and changes nothing."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell

    def on_step_end(self, event: StepEvent) -> None:
        self._tell(event.step.index + 1)


class Studio:
    """A loaded pipeline. ``offload="none"`` keeps its models on the device: the experts from their first step on."""

    def __init__(self, task: str = "t2v-demo", checkpoint_dir: str | None = None) -> None:
        config = WAN_CONFIGS[task]
        self.pipeline = wan.WanT2V(config, checkpoint_dir, offload="none")
        self._turn = Lock()
        self._defaults: dict[str, Any] = {
            "size": parse_size(config.default_size),
            "frame_num": config.frame_num,
            "shift": config.sample_shift,
            "sampling_steps": config.sample_steps,
            "guide_scale": config.sample_guide_scale,
        }

    def make(self, prompt: str, *, seed: int, tell: Callable[[int], None], options: dict[str, Any]) -> Tensor:
        """A video (3, N, H, W) in [-1, 1]; ``options`` are arguments of ``generate``. Raises ``InvalidInput``."""
        with self._turn:
            return self.pipeline.generate(prompt, seed=seed, observers=[Progress(tell)], **self._defaults | options)


def main() -> None:
    lasting_streams()  # a terminal that lacks a letter of a prompt must not end the program
    studio = Studio()
    for number, (prompt, seed, shortcuts) in enumerate(REQUESTS):
        try:
            video = studio.make(prompt, seed=seed, options=shortcuts, tell=lambda step: print(".", end="", flush=True))
        except InvalidInput as error:
            print(f"request {number} is refused: {error}")
            continue
        path = Path("outputs") / f"serve_{number}.mp4"
        write_video(path, video, fps=studio.pipeline.config.sample_fps, metadata={"prompt": prompt, "seed": str(seed)})
        print(f" {path}: {prompt}, {shortcuts or 'plain'}")


if __name__ == "__main__":
    main()
