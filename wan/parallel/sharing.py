"""What the processes of a group share of one video, and what is refused before anything is loaded; imports no torch."""

from dataclasses import dataclass

from wan.commands import group_program
from wan.errors import InvalidInput
from wan.machine import Machine
from wan.parallel.ranks import Ranks

_ATTENTIONS = ("auto", "native", "flash", "sage", "cudnn")
"""Kernels that diffusers has context parallelism for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharing:
    """``sequence``: ranks that share the tokens of one branch (Ulysses); ``branches``: 2 where each guidance branch
    has its own half of the ranks; ``experts`` and ``text``: whose weights are spread over all ranks; ``check``:
    compare the first step with one rank's."""

    sequence: int = 1
    branches: int = 1
    experts: bool = False
    text: bool = False
    check: bool = False

    @property
    def ranks(self) -> int:
        """Processes that it needs."""
        return self.sequence * self.branches

    def flags(self) -> str:
        """As they are given on the command line."""
        words = {
            f"--ulysses_size {self.sequence}": self.sequence > 1,
            "--cfg_parallel": self.branches > 1,
            "--dit_fsdp": self.experts,
            "--t5_fsdp": self.text,
            "--check_parallel": self.check,
        }
        return " ".join(word for word, is_asked in words.items() if is_asked)


NOTHING = Sharing()


def sharing_of(machine: Machine) -> Sharing:
    """What a machine's flags ask for."""
    return Sharing(
        sequence=machine.ulysses_size,
        branches=2 if machine.cfg_parallel else 1,
        experts=machine.dit_fsdp,
        text=machine.t5_fsdp,
        check=machine.check_parallel,
    )


def refuse_sharing(machine: Machine) -> None:
    """``InvalidInput`` for flags that several processes cannot have, or not together; looks at no environment."""
    if machine.ulysses_size < 1:
        raise InvalidInput(f"--ulysses_size {machine.ulysses_size} is no number of GPUs; give 1 or more")
    sharing = sharing_of(machine)
    if sharing == NOTHING:
        return
    if sharing.ranks == 1:
        raise InvalidInput(
            f"{sharing.flags()} is for several GPUs, and they share no work yet; give --ulysses_size or --cfg_parallel "
            "too, or leave it out"
        )
    wrong = {
        "--offload group": machine.offload == "group",
        "--compile": machine.compile,
        "--batch_cfg with --cfg_parallel": machine.batch_cfg and machine.cfg_parallel,
        "--t5_cpu with --t5_fsdp": machine.t5_cpu and machine.t5_fsdp,
        "--text_cache with --t5_fsdp": machine.text_cache is not None and machine.t5_fsdp,
        f"--device {machine.device}": machine.device not in (None, "auto", "cpu", "cuda"),
        f"--attention {machine.attention}": machine.attention not in _ATTENTIONS,
    }
    for flags, is_given in wrong.items():
        if is_given:
            raise InvalidInput(f"{flags} does not work on several GPUs ({sharing.flags()}); {_FIXES[flags.split()[0]]}")


_FIXES = {
    "--offload": "use --offload expert, or --dit_fsdp, which spreads the weights over the GPUs",
    "--compile": "leave it out",
    "--batch_cfg": "leave --batch_cfg out, each branch has its own GPUs",
    "--t5_cpu": "give one of the two",
    "--text_cache": "leave --t5_fsdp out, a known text needs no encoder",
    "--device": "each process takes the GPU of its number; leave --device out",
    "--attention": "use --attention auto",
}


def refuse_heads(sharing: Sharing, *, heads: int) -> None:
    """``InvalidInput`` unless every rank gets the same number of attention heads, also in a step of one branch, whose
    sequence all ranks share."""
    if heads % sharing.ranks:
        fits = [str(number) for number in range(2, heads + 1) if heads % number == 0 and number <= 64]
        raise InvalidInput(
            f"{sharing.flags()} makes {sharing.ranks} GPUs share {heads} attention heads, which does not divide; this "
            f"model runs on {', '.join(fits) or 'one GPU'}{' GPUs' if fits else ''}"
        )


def refuse_few_tokens(sharing: Sharing, *, tokens: int) -> None:
    """``InvalidInput`` when a GPU would have no token of the smallest sequence."""
    if tokens < sharing.ranks:
        raise InvalidInput(f"{sharing.flags()} shares {tokens} tokens among {sharing.ranks} GPUs; take a larger --size")


def refuse_without_team(asked: Sharing, given: Sharing) -> None:
    """``InvalidInput`` where a command would leave out what the flags ask for."""
    if asked != given:
        raise InvalidInput(f"{asked.flags()} works in the command generate alone; leave it out here")


def refuse_ranks(sharing: Sharing, ranks: Ranks) -> None:
    """``InvalidInput`` unless as many processes run as the flags ask for."""
    if sharing.ranks == ranks.size:
        return
    if ranks.size == 1:
        raise InvalidInput(
            f"{sharing.flags()} needs {sharing.ranks} processes, one for each GPU; start them with "
            f"`{group_program('generate', sharing.ranks)} ...`"
        )
    asked = sharing.flags() or "the command"
    raise InvalidInput(
        f"torchrun started {ranks.size} processes, and {asked} needs {sharing.ranks}; give --ulysses_size "
        f"{ranks.size}{' or --cfg_parallel with half of it' if ranks.size % 2 == 0 else ''}, or start "
        f"{sharing.ranks} with --nproc_per_node={sharing.ranks}"
    )
