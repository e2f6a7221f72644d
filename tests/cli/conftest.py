"""Commands draw many figures: here they are drafts."""

from tests.drafts import draft_figures

__all__ = ["draft_figures"]
