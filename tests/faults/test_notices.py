"""Nothing is silent: prompts that are cut, seeds that mean another one; said to the user and kept in ``run.json``."""

import warnings
from pathlib import Path

import pytest
import torch

import wan
from tests.faults.conftest import TINY, Make
from wan.cli.main import run
from wan.configs import WAN_CONFIGS
from wan.job import prepare
from wan.limits import CPU_SEEDS
from wan.loading.layouts import open_checkpoint
from wan.loading.prompt_length import cut_notices
from wan.machine import Machine
from wan.models.text import TextEncoder
from wan.request import Request
from wan.runs.latents import load_latents

LONG = "a red fox jumps over the lazy dog and " * 20
"""More than the 32 positions of the tiny checkpoints."""


@pytest.mark.parametrize("flag", ["--prompt", "--negative_prompt"])
def test_a_text_that_is_cut_is_said_and_recorded(t2v: Path, make: Make, flag: str) -> None:
    texts = {"--prompt": "cat", "--negative_prompt": "dog"} | {flag: LONG}
    made = make(t2v, "t2v-A14B", *(word for pair in texts.items() for word in pair))
    (notice,) = (line for line in made.said.splitlines() if "is cut off" in line)
    assert notice.startswith(f"{flag} has ") and "tokens and the model reads 32" in notice
    assert notice in made.record["adjustments"]
    # it is said before the plan, that is before any weight is read
    assert made.said.index(notice) < made.said.index("forwards")


def test_a_dry_run_says_it_too(t2v: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--task", "t2v-A14B", "--ckpt_dir", str(t2v), *TINY, "--prompt", LONG, "--negative_prompt", "dog"]
    assert run("generate", [*flags, "--dry_run"]) == 0
    assert capsys.readouterr().out.count("is cut off") == 1


def test_what_is_said_is_what_happens(t2v: Path) -> None:
    """The notice begins exactly where the encoder stops to read: one word more changes nothing."""
    from wan.loading.models import load_tokenizer

    checkpoint = open_checkpoint(WAN_CONFIGS["t2v-A14B"], t2v)
    tokenizer = load_tokenizer(checkpoint)

    class Echo(torch.nn.Module):
        """Stands for the encoder: gives the token ids back."""

        device = torch.device("cpu")

        def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
            return type("Output", (), {"last_hidden_state": ids[..., None].float()})

    encoder = TextEncoder(model=Echo(), tokenizer=tokenizer, text_len=checkpoint.text_len)  # type: ignore[arg-type]
    words = ["fox"]
    while not cut_notices(checkpoint, {"--prompt": " ".join(words)}):
        words.append("fox")
    cut, one_more = (encoder.encode(" ".join(text)) for text in (words, [*words, "fox"]))
    assert cut.equal(one_more)
    shorter = encoder.encode(" ".join(words[:-1]))
    assert not shorter.equal(cut) or shorter.count_nonzero() == checkpoint.text_len


def test_the_python_interface_warns(t2v: Path) -> None:
    pipeline = wan.WanT2V(WAN_CONFIGS["t2v-A14B"], str(t2v), dtype="float32")
    how = {"size": (64, 48), "frame_num": 5, "sampling_steps": 1, "n_prompt": "dog"}
    with pytest.warns(UserWarning, match="input_prompt has .* tokens and the model reads 32"):
        pipeline.generate(LONG, seed=1, **how)
    with pytest.warns(UserWarning, match=f"seed {CPU_SEEDS + 1} makes the same video there as seed 1"):
        pipeline.generate("cat", seed=CPU_SEEDS + 1, **how)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pipeline.generate("cat", seed=1, **how)


def test_compare_names_the_prompt_that_is_cut(t2v: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--task", "t2v-A14B", "--ckpt_dir", str(t2v), *TINY, "--sample_steps", "4", "--negative_prompt", "dog"]
    assert run("compare", [*flags, "--prompt", "cat", LONG, "--cfg_truncate_steps", "1", "--dry_run"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "is cut off" in line)
    assert LONG[:20] in line


def test_a_seed_that_means_another_one_is_said_and_true(t2v: Path, make: Make) -> None:
    first, same = make(t2v, "t2v-A14B", "--prompt", "cat"), make(t2v, "t2v-A14B", "--prompt", "cat", seed=CPU_SEEDS + 1)
    one, other = (load_latents(made.folder / "latents.safetensors") for made in (first, same))
    assert one.equal(other)
    notice = f"--base_seed {CPU_SEEDS + 1} makes the same video there as --base_seed 1"
    assert notice in same.said and any(notice in line for line in same.record["adjustments"])
    assert "32 bits" not in first.said


def test_a_gpu_has_all_bits_of_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wan.device_kind.can_have_cuda", lambda: True)
    notices = prepare(Request(task="t2v-demo", prompt="x", seed=CPU_SEEDS, machine=Machine(device="cuda"))).notices
    assert not any("32 bits" in notice for notice in notices)
