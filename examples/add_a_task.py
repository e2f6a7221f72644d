"""Extending: a task of an existing kind is one YAML file; this one is t2v-1.3B at the scale its makers recommend.

    python examples/add_a_task.py

In the package the file lies in wan/configs/; here it is read from where it is written.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wan.configs import load_config, parse_size
from wan.sampling.geometry import geometry_for
from wan.sampling.policies import make_plan
from wan.sampling.table import format_plan
from wan.settings import default_settings

TASK = """\
# Wan2.1 1.3B as its makers advise to run it: a lower number of frames, more shift, more guidance.
entry: WanT2V
frame_num: 49
sample_steps: 8
sample_shift: 8.0
sample_guide_scale: 6.0
dim: 1536
ffn_dim: 8960
num_heads: 12
num_layers: 30
default_size: 832*480
supported_sizes: [480*832, 832*480]
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t2v-advised.yaml"
        path.write_text(TASK, encoding="utf-8")
        config = load_config(path)
    geometry = geometry_for(config, size=parse_size(config.default_size), frame_num=config.frame_num)
    print(f"--task {config.name}")
    print(format_plan(make_plan(default_settings(config), geometry)))


if __name__ == "__main__":
    main()
