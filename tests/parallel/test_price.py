"""The price of several GPUs, worked by hand on a small model."""

import pytest

from tests.toy import toy_plan
from wan.cli.main import run
from wan.parallel.price import FLOPS_PER_SECOND, LINKS, shared_price, ways
from wan.parallel.sharing import Sharing
from wan.sampling.price import DenoiserSize

SIZE = DenoiserSize(dim=8, ffn_dim=16, num_layers=3, text_len=4, num_heads=4)
TOKENS = 3 * 1 * 2  # of the toy geometry
STEPS = 8


def flops(seconds: float) -> float:
    return seconds * FLOPS_PER_SECOND


def test_ulysses_sends_four_tensors_a_layer_and_the_result() -> None:
    found = shared_price(toy_plan(), SIZE, Sharing(sequence=2), dtype_bytes=2)
    layers = 3 * 4 * (TOKENS / 2) * 8 * 2 / 2
    result = (TOKENS / 2) * 16 * 2
    assert found.sent == pytest.approx(STEPS * 2 * (layers + result))
    assert flops(found.compute) == pytest.approx(STEPS * SIZE.forward_flops(TOKENS))
    assert flops(found.alone) == pytest.approx(2 * STEPS * SIZE.forward_flops(TOKENS))
    assert found.share_of_time("PCIe") == pytest.approx(0.5 + found.sent / LINKS["PCIe"] / found.alone)


def test_branches_send_a_velocity_alone() -> None:
    found = shared_price(toy_plan(), SIZE, Sharing(branches=2), dtype_bytes=2)
    assert found.sent == pytest.approx(STEPS * TOKENS * 16 * 2)
    assert flops(found.compute) == pytest.approx(STEPS * SIZE.forward_flops(TOKENS))


def test_a_step_of_one_branch_keeps_all_gpus_at_work() -> None:
    truncated = toy_plan(cfg_truncate_steps=4, cfg_truncate_high_noise_steps=0)
    passes = truncated.forwards
    assert passes < 2 * STEPS
    for sharing in (Sharing(sequence=4), Sharing(sequence=2, branches=2)):
        found = shared_price(truncated, SIZE, sharing, dtype_bytes=2)
        assert flops(found.compute) == pytest.approx(passes * SIZE.forward_flops(TOKENS) / 4)


def test_spread_weights_are_gathered_at_every_forward() -> None:
    whole = shared_price(toy_plan(), SIZE, Sharing(sequence=4), dtype_bytes=2)
    spread = shared_price(toy_plan(), SIZE, Sharing(sequence=4, experts=True), dtype_bytes=2)
    assert spread.weights == whole.weights / 4 == SIZE.block_weights * 2 / 4
    assert spread.sent - whole.sent == pytest.approx(2 * STEPS * SIZE.block_weights * 2 * 3 / 4)


def test_so_many_gpus_can_share_by_sequence_by_branches_and_by_both() -> None:
    assert [one.flags() for one in ways(4, Sharing())] == ["--ulysses_size 4", "--ulysses_size 2 --cfg_parallel"]
    assert [one.flags() for one in ways(2, Sharing())] == ["--ulysses_size 2", "--cfg_parallel"]
    assert [one.flags() for one in ways(3, Sharing())] == ["--ulysses_size 3"]


def test_a_dry_run_prints_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("generate", ["--task", "t2v-A14B", "--prompt", "x", "--dry_run", "--nproc", "8"]) == 0
    printed = capsys.readouterr().out
    assert "--ulysses_size 8 " in printed and "--ulysses_size 4 --cfg_parallel " in printed and "28.10 GB" in printed
    assert run("generate", ["--task", "t2v-demo", "--prompt", "x", "--dry_run", "--nproc", "3"]) == 0
    assert "--ulysses_size 3" in (shown := capsys.readouterr().out) and "4 attention heads do not divide by 3" in shown
