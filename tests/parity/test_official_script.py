"""A script written for the official repository runs unchanged, and importing the package costs nothing."""

import subprocess
import sys
from pathlib import Path

from tests.goldens import input_image
from tests.parity.conftest import Materialised

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
from PIL import Image
import wan
from wan.configs import MAX_AREA_CONFIGS, SIZE_CONFIGS, SUPPORTED_SIZES, WAN_CONFIGS

t2v_dir, i2v_dir, ti2v_dir, image_file = sys.argv[1:]
image = Image.open(image_file).convert("RGB")

assert "1280*720" in SUPPORTED_SIZES["t2v-A14B"] and SIZE_CONFIGS["832*480"] == (832, 480)
assert MAX_AREA_CONFIGS["480*832"] == 480 * 832

cfg = WAN_CONFIGS["t2v-A14B"]
wan_t2v = wan.WanT2V(
    config=cfg, checkpoint_dir=t2v_dir, device_id=0, rank=0, t5_fsdp=False, dit_fsdp=False, use_sp=False, t5_cpu=False,
    convert_model_dtype=False,
)
video = wan_t2v.generate(
    "a boat", size=(64, 32), frame_num=5, shift=cfg.sample_shift, sample_solver="unipc", sampling_steps=3,
    guide_scale=cfg.sample_guide_scale, seed=1, offload_model=True,
)
print(tuple(video.shape), bool(video.abs().max() <= 1))

cfg = WAN_CONFIGS["i2v-A14B"]
wan_i2v = wan.WanI2V(
    config=cfg, checkpoint_dir=i2v_dir, device_id=0, rank=0, t5_fsdp=False, dit_fsdp=False, use_sp=False, t5_cpu=True,
)
video = wan_i2v.generate(
    "a boat", image, max_area=64 * 48, frame_num=5, shift=cfg.sample_shift, sample_solver="dpm++", sampling_steps=3,
    guide_scale=cfg.sample_guide_scale, seed=1, offload_model=False,
)
print(tuple(video.shape), bool(video.abs().max() <= 1))

cfg = WAN_CONFIGS["ti2v-5B"]
wan_ti2v = wan.WanTI2V(config=cfg, checkpoint_dir=ti2v_dir, device_id=0, rank=0, init_on_cpu=True)
for img in (None, image):
    video = wan_ti2v.generate(
        "a boat", img=img, size=(96, 64), max_area=96 * 64, frame_num=5, shift=cfg.sample_shift, sampling_steps=3,
        guide_scale=cfg.sample_guide_scale, n_prompt="", seed=1, offload_model=True,
    )
    print(tuple(video.shape), bool(video.abs().max() <= 1))
"""


def test_official_script(materialised: Materialised, tmp_path: Path) -> None:
    input_image().save(tmp_path / "input.png")
    (tmp_path / "script.py").write_text(SCRIPT)
    runs = ("t2v_A14B_unipc", "i2v_A14B_unipc", "ti2v_5B_t2v_unipc")
    arguments = [*(str(materialised(run)) for run in runs), str(tmp_path / "input.png")]
    answer = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == [
        "(3, 5, 32, 64) True",
        "(3, 5, 32, 64) True",
        "(3, 5, 64, 96) True",
        "(3, 5, 64, 96) True",
    ]


def test_importing_the_package_imports_no_library() -> None:
    script = "import sys, wan, wan.configs; print(*{'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
