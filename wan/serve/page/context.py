"""What every tab works with: the desk, the language, and where the other tabs are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan.configs import TaskConfig
from wan.serve.desk import Desk
from wan.serve.page.comparisons import Comparisons
from wan.serve.page.words import Words

GENERATE, WATCH, QUEUE, COMPARE, RUNS = TABS = ("generate", "watch", "queue", "compare", "runs")


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """``folder``: the output folder, below which all files of the page are. ``models``: task and checkpoint folder."""

    desk: Desk
    words: Words
    folder: Path
    models: Mapping[str, Path | None]
    comparisons: Comparisons

    def default(self, name: str, config: TaskConfig) -> Any:
        """What a sampling field has when a request leaves it out: the service's own default, or the task's."""
        return self.desk.settings.defaults.get(name, getattr(config, name))

    @property
    def extends(self) -> bool:
        """Whether a language model writes prompts out for those who ask for it."""
        return self.desk.settings.extension is not None

    @property
    def is_calibrated(self) -> bool:
        """Whether what calibrations say of errors holds for the models here: with a LoRA they are other models."""
        return not self.desk.settings.weights.loras

    def cost_label(self, shortcuts: str) -> str:
        """A label of shortcuts ("none", "budget 0.5", ...) in the page's language, as far as it is a budget."""
        if shortcuts == "none":
            return self.words("plain_short")
        kind, _, share = shortcuts.partition(" ")
        return self.words("share_of_plain", share=share) if kind == "budget" and " " not in share else shortcuts
