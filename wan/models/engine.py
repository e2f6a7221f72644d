"""How the forwards of a plan are computed: branch by branch or together, fixed inputs kept or not, compiled or not."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from subprocess import SubprocessError

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from wan.errors import InvalidInput
from wan.models.denoiser import Evaluate, one_by_one
from wan.models.fixed_inputs import SetUp, inputs_and_keys_kept, inputs_kept
from wan.sampling.cache_settings import COMPILED_CACHE


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """The plan does not depend on it. The video does in the last bits alone: ``keep`` is exact, ``evaluate`` (batched)
    and ``compile`` round differently."""

    evaluate: Evaluate = one_by_one
    keep: SetUp = inputs_and_keys_kept
    compile: bool = False

    def for_run(self, offload: str, *, cached: bool = False, spread: bool = False) -> "Engine":
        """The engine for one run. Where blocks visit the device in turn (``offload`` group) or are gathered from many
        (``spread``), the keys of all blocks cannot be computed before them, and their memory is what this saves.

        ``cached``: a cache sits on the network. ``InvalidInput`` when it is to be compiled, too.
        """
        if cached and self.compile:
            raise InvalidInput(COMPILED_CACHE.format("a cache inside the network"))
        is_in_parts = (spread or offload == "group") and self.keep is inputs_and_keys_kept
        return replace(self, keep=inputs_kept) if is_in_parts else self

    def check(self, device: torch.device, *, offload: str | None) -> None:
        """``InvalidInput`` when it cannot work on the device, or with the offloading; before any weight is read."""
        if self.compile:
            check_compile(device, offload=offload)

    @contextmanager
    def set_up(self, model: WanTransformer3DModel) -> Iterator[None]:
        """For the length of the block the model computes like this; afterwards it is as before."""
        with ExitStack() as stack:
            stack.enter_context(self.keep(model))
            if self.compile:
                stack.enter_context(blocks_compiled(model))
            yield


EXACT = Engine()
"""The default: bit for bit what diffusers computes."""


@contextmanager
def blocks_compiled(model: WanTransformer3DModel) -> Iterator[None]:
    """The blocks compiled by torch.compile: once for all of them and for both experts, once more for other shapes.

    PyTorch keeps what it compiled by code, so that the next stage, and another model of the same kind, has it at once.
    """
    blocks = list(model.blocks)
    model.compile_repeated_blocks()
    try:
        yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None


def check_compile(device: torch.device, *, offload: str | None) -> None:
    """``InvalidInput`` where ``--compile`` cannot work."""
    if offload == "group":
        raise InvalidInput(
            "--compile and --offload group do not go together, the blocks are moved between their calls; use "
            "--offload expert, or leave --compile out"
        )
    if reason := why_not_compile(device):
        raise InvalidInput(
            f"--compile cannot be used here ({reason}); install a C++ compiler (g++ or clang, on a GPU Triton too), or "
            "leave --compile out"
        )


def why_not_compile(device: torch.device) -> str | None:
    """What keeps torch.compile from working on the device, found out by compiling a small function; None: nothing."""
    factor = random.random()  # PyTorch would find an old function on disk, also where the compiler is gone

    def probe(tensor: Tensor) -> Tensor:
        return (tensor * factor).sin()

    try:
        torch.compile(probe)(torch.ones(64, device=device))
    except (AttributeError, ImportError, OSError, RuntimeError, SubprocessError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
    return None
