"""What several GPUs are refused for, before anything is loaded."""

import re
from typing import Any

import pytest
import torch

import wan
from wan.cli.main import run
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.job import prepare
from wan.machine import Machine
from wan.parallel.official import official_team
from wan.parallel.ranks import Ranks
from wan.parallel.sharing import NOTHING, Sharing, refuse_heads, refuse_ranks, refuse_sharing, sharing_of
from wan.request import Request, parse_request
from wan.session import Session

FOUR = Sharing(sequence=2, branches=2)


def test_flags_become_what_is_shared() -> None:
    machine = parse_request(["--ulysses_size", "2", "--cfg_parallel", "--dit_fsdp", "--t5_fsdp"]).machine
    sharing = sharing_of(machine)
    assert sharing == Sharing(sequence=2, branches=2, experts=True, text=True) and sharing.ranks == 4
    assert sharing.flags() == "--ulysses_size 2 --cfg_parallel --dit_fsdp --t5_fsdp"
    assert sharing_of(Machine()) == NOTHING and NOTHING.ranks == 1


def test_spread_experts_stay_in_memory() -> None:
    config = WAN_CONFIGS["t2v-A14B"]
    assert Machine(ulysses_size=2, dit_fsdp=True).offload_for(config) == "none"
    assert Machine(ulysses_size=2).offload_for(config) == "expert"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"ulysses_size": 0}, "--ulysses_size 0 is no number of GPUs; give 1 or more"),
        ({"ulysses_size": 1, "dit_fsdp": True}, "--dit_fsdp is for several GPUs, and they share no work yet"),
        (
            {"offload": "group"},
            "--offload group does not work on several GPUs (--ulysses_size 2); use --offload expert",
        ),
        ({"compile": True}, "--compile does not work on several GPUs (--ulysses_size 2); leave it out"),
        ({"batch_cfg": True, "cfg_parallel": True}, "--batch_cfg with --cfg_parallel does not work on several GPUs"),
        ({"t5_cpu": True, "t5_fsdp": True}, "--t5_cpu with --t5_fsdp does not work on several GPUs"),
        ({"device": "cuda:1"}, "--device cuda:1 does not work on several GPUs (--ulysses_size 2); each process takes"),
        ({"attention": "xformers"}, "--attention xformers does not work on several GPUs (--ulysses_size 2); use"),
    ],
)
def test_what_does_not_go_together(flags: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(sentence)):
        refuse_sharing(Machine(**{"ulysses_size": 2} | flags))


def test_every_attention_that_is_allowed_shares_a_sequence() -> None:
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    from wan.models.attention import BACKENDS
    from wan.parallel.sharing import _ATTENTIONS

    able = {
        name for name, backend in BACKENDS.items() if backend in _AttentionBackendRegistry._supports_context_parallel
    }
    assert set(_ATTENTIONS) == able | {"auto"}


def test_heads_that_do_not_divide() -> None:
    refuse_heads(FOUR, heads=40)
    with pytest.raises(InvalidInput, match=re.escape("makes 4 GPUs share 30 attention heads, which does not divide")):
        refuse_heads(FOUR, heads=30)
    with pytest.raises(InvalidInput, match="this model runs on 2, 3, 5, 6, 10, 15, 30 GPUs"):
        refuse_heads(FOUR, heads=30)


def test_more_or_fewer_processes_than_the_flags_ask_for() -> None:
    refuse_ranks(FOUR, Ranks(rank=3, size=4))
    with pytest.raises(InvalidInput, match=re.escape("`torchrun --nproc_per_node=4 generate.py ...`")):
        refuse_ranks(FOUR, Ranks())
    with pytest.raises(InvalidInput, match=re.escape("torchrun started 3 processes, and the command needs 1; give")):
        refuse_ranks(NOTHING, Ranks(size=3))


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--ulysses_size", "2"], "--ulysses_size 2 needs 2 processes, one for each GPU; start them with `torchrun"),
        (["--ulysses_size", "3", "--dry_run"], "--ulysses_size 3 makes 3 GPUs share 4 attention heads, which does not"),
        (
            ["--ulysses_size", "2", "--size", "16x16", "--frame_num", "1", "--dry_run"],
            "--ulysses_size 2 shares 1 tokens among 2 GPUs; take a larger --size",
        ),
        (["--nproc", "2"], "--nproc 2 prices a plan and needs --dry_run"),
        (["--nproc", "1", "--dry_run"], "--nproc 1 is no number of GPUs that share a video; give 2 or more"),
        (
            ["--nproc", "4", "--ulysses_size", "2", "--dry_run"],
            "--nproc 4 contradicts --ulysses_size 2, which is for 2",
        ),
    ],
)
def test_the_command_says_it_before_it_loads(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("generate", ["--task", "t2v-demo", *argv]) == 2
    assert sentence in capsys.readouterr().err


def test_other_commands_work_on_one_gpu() -> None:
    job = prepare(Request(task="t2v-demo", machine=Machine(ulysses_size=2)))
    with pytest.raises(InvalidInput, match="--ulysses_size 2 works in the command generate alone; leave it out here"):
        Session(job)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"use_sp": True, "dit_fsdp": True}, "use_sp, dit_fsdp needs several processes: start them with torchrun"),
        ({"rank": 1}, "rank=1 needs several processes"),
    ],
)
def test_the_official_parameters_need_a_process_group(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        wan.WanT2V(WAN_CONFIGS["t2v-demo"], device="cpu", **asked)


def test_without_them_there_is_no_team() -> None:
    assert official_team(0, False, False, False, device=torch.device("cpu")).is_alone


def test_the_recorded_command_starts_as_many_processes() -> None:
    request = Request(task="t2v-demo", machine=Machine(ulysses_size=2, cfg_parallel=True))
    command = request.command(seed=1)
    assert command.startswith("torchrun --nproc_per_node=4 ") and "generate.py" in command
    assert Request(task="t2v-demo").command(seed=1).startswith("python ")
