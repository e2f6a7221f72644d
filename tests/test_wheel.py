"""The wheel is the product: built from the repository and used outside of any clone, with the demo model in it."""

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = ["--task", "t2v-demo", "--sample_steps", "4", "--frame_num", "9"]
# what exists in a clone and not in an installed package; wan/commands.py alone knows both
CLONE_ONLY = ("tools/", "docs/", "README", "CHANGELOG", "generate.py", "requirements", "checkpoints/t2v-demo")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*command, "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)], check=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that holds the wheel, and sees the dependencies of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    # a line of a .pth file is put on the path as it is: editable installs behind it stay unseen
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    install = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    interpreter = binaries / "python"
    subprocess.run([*install[:3], "--python", str(interpreter), *install[3:], "--no-compile", str(wheel)], check=True)
    return interpreter


def wan(python: Path, folder: Path, *argv: str, code: int = 0) -> str:
    """What the installed script prints on stdout; its exit code must be ``code``."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1"}
    script = python.with_name("wan")
    done = subprocess.run(
        [str(script), *argv], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stderr
    return done.stdout + (done.stderr if code else "")


SEVERAL = """
import contextlib, io, json, sys
from wan.cli.main import run
found = []
for argv in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as error:
        code = run(argv[0], argv[1:])
    found.append([code, out.getvalue() + (error.getvalue() if code else "")])
print(json.dumps(found))
"""


def several(python: Path, folder: Path, commands: list[list[str]]) -> list[tuple[int, str]]:
    """Exit code and output of commands of the installed package, in one process: each would import torch anew."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    words = [str(python), "-c", SEVERAL, json.dumps(commands)]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=True)
    return [(code, said) for code, said in json.loads(done.stdout)]


def test_every_package_of_the_source_is_in_the_wheel(wheel: Path) -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"])
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "wan").rglob("__init__.py")}
    assert listed == found | {"wan.demo_checkpoint", "wan.demo_lora"}
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "wan/py.typed" in names and "wan/demo_checkpoint/model_index.json" in names
    assert {"wan/demo_lora/high_noise_model.safetensors", "wan/demo_lora/low_noise_model.safetensors"} <= names
    assert {
        "wan/instruments/arena/quick.yaml",
        "wan/instruments/arena/full.yaml",
        "wan/instruments/arena/transfer-seeds.yaml",
    } <= names
    assert "wan/caches/magcache_ratios.json" in names
    has_calibration = (ROOT / "checkpoints" / "t2v-demo" / "calibration.json").is_file()
    assert ("wan/demo_checkpoint/calibration.json" in names) is has_calibration
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "wan").rglob("*.py")} <= names


def test_no_sentence_names_a_file_that_the_reader_lacks(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        texts = {
            name: archive.read(name).decode("utf-8")
            for name in archive.namelist()
            if name.endswith((".py", ".yaml", "METADATA")) and name not in ("wan/commands.py", "wan/cli/main.py")
        }
    found = {name: [word for word in CLONE_ONLY if word in text] for name, text in texts.items()}
    allowed = {
        "wan/configs/t2v-demo.yaml": ["checkpoints/t2v-demo"],
        "wan/configs/preview/t2v-demo.yaml": ["tools/"],  # the command that fitted its numbers
        "wan/batch/ray_engine.py": ["requirements"],  # said in a clone alone
        "wan/cli/serve.py": ["requirements"],  # the same
        "wan/weight_rules.py": ["requirements"],
        "wan/recorded_request.py": ["generate.py"],  # what recorded commands of clones begin with
    }
    assert {name: words for name, words in found.items() if words and words != allowed.get(name)} == {}


@pytest.mark.slow
def test_the_demo_and_every_instrument_outside_of_a_clone(python: Path, tmp_path: Path) -> None:
    assert "generate" in wan(python, tmp_path, "--help")
    made = wan(python, tmp_path, "generate", *SMALL, "--enable_debug", "--quiet")
    (run,) = (tmp_path / "outputs").glob("t2v-demo_*")
    assert made == "" and (run / "video.mp4").is_file()
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record["command"].startswith("wan generate --task t2v-demo") and "--enable_debug" in record["command"]
    assert "site-packages" in record["checkpoint"]["path"]
    flags = ["--task", "t2v-demo", "--num_inference_steps", "2", "--num_frames", "9"]
    checkpoint = record["checkpoint"]["path"]
    expected = [
        ("PSNR", 0, ["compare", *SMALL, "--size", "32*32", "--quiet"]),
        ("results", 0, ["continuity", *flags, "--quiet"]),
        ("SIMULATED", 0, ["continuity-demo", "--num_inference_steps", "4"]),
        ("report.html", 0, ["report"]),
        ("WanPipeline", 0, ["bench", *SMALL, "--repeats", "1"]),
        ("healthy: wan generate", 0, ["doctor", "--ckpt_dir", checkpoint]),
        ("diffusers layout already", 2, ["convert", checkpoint, "x"]),
        ("needs --ckpt_dir. Get the checkpoint with `wan download", 2, ["generate"]),
    ]
    for (words, code, _), found in zip(
        expected, several(python, tmp_path, [argv for *_, argv in expected]), strict=True
    ):
        assert found[0] == code and words in found[1], found
    functions = "from analyze_continuity_simple import analyze_latent_continuity"
    subprocess.run([str(python), "-c", functions], cwd=tmp_path, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["generate", "compare"])
def test_help_names_the_installed_command(python: Path, tmp_path: Path, command: str) -> None:
    text = wan(python, tmp_path, command, "--help")
    assert text.startswith(f"usage: wan {command} ") and "python " not in text
