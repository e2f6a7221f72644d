"""Checks that prove loadability: what cannot load, or is not what it says, is refused in one sentence before it costs.

The broken checkpoints are those of the assault (``python -m tests.assault.checkpoint_assault`` prints all sentences).
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.assault import checkpoint_assault, harm
from tests.assault.bad_checkpoints import CONFIG, FOREIGN, OFFICIAL, SHARD, VAE_PTH, Case, all_cases
from tests.assault.checkpoint_assault import REFUSED, TASKS, attack, make_bases, request_flags
from wan.cli.main import run
from wan.configs import WAN_CONFIGS
from wan.errors import CheckpointError
from wan.loading import models, numbers
from wan.loading.doctor import diagnose
from wan.loading.foreign import foreign_by_bytes
from wan.loading.layouts import open_checkpoint
from wan.loading.models import check_weights, load_tokenizer

T2V = WAN_CONFIGS["t2v-A14B"]
ALL_CASES = all_cases()
EVERY = 4
"""The doctor, which looks for every problem, is given every fourth case; ``make assault`` gives it all."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_bases(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def copy(whole: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the official checkpoint to break."""
    return shutil.copytree(whole[OFFICIAL], tmp_path / "copy", copy_function=os.link)


def refused(case: Case, whole: dict[str, Path], work: Path, *, with_doctor: bool) -> str:
    row = attack(case, whole[case.base], work, with_doctor=with_doctor)
    assert row.outcome == REFUSED, (row.outcome, row.sentence)
    return row.sentence


@pytest.mark.parametrize("base", TASKS)
def test_what_is_whole_is_not_refused(base: str, whole: dict[str, Path], tmp_path: Path) -> None:
    """Or every refusal below could have another reason."""
    config = WAN_CONFIGS[TASKS[base]]
    assert diagnose(whole[base], config).problems == ()
    check_weights(open_checkpoint(config, whole[base]))
    (tmp_path / "work").mkdir()
    assert run("generate", [*request_flags(whole[base], TASKS[base], tmp_path / "work" / "out"), "--dry_run"]) == 0


@pytest.mark.parametrize("index", range(len(ALL_CASES)), ids=[case.name for case in ALL_CASES])
def test_every_broken_checkpoint_ends_in_one_sentence(index: int, whole: dict[str, Path], tmp_path: Path) -> None:
    """Exit code 2, one line, no payload run, no run folder, nothing written outside; a dry run ends with 0 or 2."""
    sentence = refused(ALL_CASES[index], whole, tmp_path / "work", with_doctor=index % EVERY == 0)
    assert not re.search("[\x00-\x1f\x7f]", sentence)


def test_there_are_enough_of_them() -> None:
    assert len(ALL_CASES) >= 200


@pytest.mark.parametrize("name", FOREIGN)
def test_other_formats_are_named_and_not_to_be_downloaded_again(name: str, copy: Path) -> None:
    breaks, called = FOREIGN[name]
    breaks(copy)
    sentences = [problem.sentence for problem in diagnose(copy, T2V).problems]
    (sentence,) = [sentence for sentence in sentences if called in sentence]
    assert "download it again" not in sentence and "download that file again" not in sentence
    with pytest.raises(CheckpointError, match=re.escape(called)):
        open_checkpoint(T2V, copy)


def test_one_file_instead_of_a_folder_is_named(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "wan.gguf").write_bytes(b"GGUF\x03\0\0\0")
    weights = load_file(copy / SHARD)
    save_file({f"model.diffusion_model.{name}": tensor for name, tensor in weights.items()}, tmp_path / "c.safetensors")
    save_file(weights, tmp_path / "part.safetensors")
    for name, expected in (
        ("wan.gguf", "is a GGUF file"),
        ("c.safetensors", "is a single file with ComfyUI's names"),
        ("part.safetensors", "is one file of a checkpoint"),
    ):
        with pytest.raises(CheckpointError, match=expected):
            open_checkpoint(T2V, tmp_path / name)


def test_the_length_of_a_header_is_not_taken_for_another_format(tmp_path: Path) -> None:
    """A safetensors file begins with a number, whose bytes can look like those of a gzip archive or a pickle."""
    for length in (0x0280, 0x8B1F, 0x5A4D, 0x2123):
        (tmp_path / "x.safetensors").write_bytes(length.to_bytes(8, "little") + b"{}")
        assert foreign_by_bytes(tmp_path / "x.safetensors") is None


def test_plain_fp8_weights_load_as_they_did(copy: Path) -> None:
    for shard in copy.glob("*/*.safetensors"):
        weights = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in load_file(shard).items()}
        shard.unlink()
        save_file(weights, shard)
    assert diagnose(copy, T2V).problems == ()


def test_long_notes_of_an_author_do_not_make_a_file_foreign(copy: Path) -> None:
    harm.tensors(SHARD, lambda held: None, metadata={"caption": "a torchao " * 100})(copy)
    check_weights(open_checkpoint(T2V, copy))


def test_the_cache_of_a_hub_is_followed(copy: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--Wan-AI" / "snapshots" / "0123abc"
    for number, path in enumerate(sorted(path for path in copy.rglob("*") if path.is_file())):
        blob = tmp_path / "models--Wan-AI" / "blobs" / f"{number:064}"
        blob.parent.mkdir(parents=True, exist_ok=True)
        link = snapshot / path.relative_to(copy)
        link.parent.mkdir(parents=True, exist_ok=True)
        path.rename(blob)
        link.symlink_to(os.path.relpath(blob, link.parent))
    check_weights(open_checkpoint(T2V, snapshot))
    (tmp_path / "short").symlink_to(snapshot)
    check_weights(open_checkpoint(T2V, tmp_path / "short"))


def test_links_inside_of_the_folder_are_followed(copy: Path) -> None:
    (copy / "store").mkdir()
    (copy / VAE_PTH).rename(copy / "store" / "vae.pth")
    (copy / VAE_PTH).symlink_to("store/vae.pth")
    check_weights(open_checkpoint(T2V, copy))


def test_a_value_that_is_not_finite_in_a_large_tensor_is_found_when_all_is_read(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(held: dict[str, torch.Tensor]) -> None:
        held["blocks.0.ffn.2.weight"].view(-1)[1000] = float("nan")

    harm.tensors(SHARD, spoil)(copy)
    monkeypatch.setattr(numbers, "SMALL_FILE_BYTES", 0)
    monkeypatch.setattr(numbers, "SMALL_BYTES", 1000)
    assert diagnose(copy, T2V).problems == ()
    (problem,) = diagnose(copy, T2V, read_all=True).problems
    assert "blocks.0.ffn.2.weight holds values that are not finite" in problem.sentence


def test_the_tokenizer_is_never_allowed_code(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(models.AutoTokenizer, "from_pretrained", lambda folder, **words: asked.update(words))
    load_tokenizer(open_checkpoint(T2V, copy))
    assert asked == {"trust_remote_code": False, "local_files_only": True}


def test_notes_of_a_config_reach_no_model(whole: dict[str, Path], tmp_path: Path) -> None:
    """A config.json can name an attention kernel that a library would fetch and run."""
    copy = shutil.copytree(whole["with_image"], tmp_path / "copy")
    for name in ("image_encoder", "text_encoder"):
        kernel = {"attn_implementation": "evil/kernel", "_attn_implementation": "evil/kernel", "dtype": "float16"}
        harm.config(f"{name}/config.json", **kernel)(copy)
    check_weights(open_checkpoint(WAN_CONFIGS["i2v-14B"], copy))


def test_a_dry_run_that_reads_a_checkpoint_imports_no_torch(copy: Path) -> None:
    harm.content("google/umt5-xxl/tokenizer.json", b'{"version": "1.0", "truncation": null,')(copy)
    flags = request_flags(copy, "t2v-A14B", copy.parent / "out")
    script = (
        "import sys\nfrom wan.cli.main import run\n"
        f"code = run('generate', {[*flags, '--dry_run']!r})\n"
        "sys.exit(code if not {'torch', 'transformers', 'diffusers'} & set(sys.modules) else 3)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "tokenizer.json is not the tokenizer's file but 38 bytes of something else" in answer.stderr


@pytest.mark.parametrize("command", ["compare", "continuity"])
def test_instruments_refuse_before_they_make_a_folder(
    command: str, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    harm.tensors("vae/diffusion_pytorch_model.safetensors", lambda held: {"x": held[harm.first(held)]})(copy)
    made = tmp_path / "made"
    flags = ["--task", "t2v-demo", "--ckpt_dir", str(copy), "--output_dir", str(made), "--device", "cpu"]
    assert run(command, flags) == 2
    assert "does not hold the model that its config.json" in capsys.readouterr().err
    assert not made.exists()


def test_an_unreadable_folder_is_one_sentence(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", deny)
    with pytest.raises(CheckpointError, match=r"cannot be read \(Permission denied\); check its permissions"):
        open_checkpoint(T2V, copy)


def test_the_table_for_the_documents_has_a_line_for_each() -> None:
    rows = [checkpoint_assault.Row("a", REFUSED, True, "x | y"), checkpoint_assault.Row("b", "hung", False, "")]
    assert checkpoint_assault.as_table(rows).splitlines()[2:] == [
        "| a | refused | refused | x \\| y |",
        "| b | hung | passes |  |",
    ]


def test_a_config_is_judged_by_its_values_and_not_by_its_notes(copy: Path) -> None:
    content = json.loads((copy / CONFIG).read_text(encoding="utf-8"))
    harm.rewrite(copy / CONFIG, json.dumps(content | {"comment": "x" * 10_000, "model_name": ["any"]}).encode())
    check_weights(open_checkpoint(T2V, copy))
