"""What a service works by: its folder, its models, its machine, and the limits that it sets its clients."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wan.machine import Machine
from wan.prompt_extension import PromptExtension
from wan.weight_options import WeightOptions

MAX_QUEUE, MAX_UPLOAD_MIB, MAX_PROMPT, MAX_COST = 100, 20, 4000, 10.0
RETRIES = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class DeskSettings:
    """``folder``: run folders and queue. ``models``: the tasks that may be asked for, the first one is the default,
    each with its checkpoint folder (None: the one that ships with the package). ``devices``: one worker each, None: the
    best device here. ``max_queue`` requests may wait, ``max_prompt`` characters and ``max_upload`` bytes are the most;
    ``max_cost``: what one request may cost, in plain videos with the task's default settings. ``retries``: how often a
    request that failed is tried again by itself.

    What the operator decides for all requests: ``weights`` of every model; ``defaults``, the sampling fields of a
    request that leaves them out, as a line of a batch has them; ``extension``, how the prompt of a client that asks for
    that is extended (None: nobody's is).
    """

    folder: Path
    models: Mapping[str, Path | None]
    machine: Machine = Machine()
    devices: tuple[str | None, ...] = (None,)
    max_queue: int = MAX_QUEUE
    max_prompt: int = MAX_PROMPT
    max_upload: int = MAX_UPLOAD_MIB * 2**20
    max_cost: float = MAX_COST
    retries: int = RETRIES
    accept_changes: bool = False
    weights: WeightOptions = WeightOptions()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    extension: PromptExtension | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", self.weights.lasting())
