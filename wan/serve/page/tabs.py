"""The five tabs with their components, as one value that everything that leads from tab to tab works with."""

from dataclasses import dataclass
from typing import Any

from wan.serve.page.compare_tab import CompareTab
from wan.serve.page.generate_tab import GenerateTab
from wan.serve.page.queue_tab import QueueTab
from wan.serve.page.runs_tab import RunsTab
from wan.serve.page.watch_tab import WatchTab


@dataclass(frozen=True, slots=True)
class Tabs:
    """``box`` holds the tabs; what is selected in it is what is seen."""

    box: Any
    generate: GenerateTab
    watch: WatchTab
    queue: QueueTab
    compare: CompareTab
    runs: RunsTab
