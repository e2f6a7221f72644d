"""One line of the table of claims: what was claimed, what was measured, by which rule, and the verdict."""

from dataclasses import dataclass

VERDICTS = {True: ("confirmed", "成立"), False: ("not confirmed", "不成立"), None: ("mixed", "部分成立")}
SHARE_RULE = ("true in at least 9 of 10 runs; false below 1 of 10", "至少九成运行成立；不足一成为不成立")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Texts are (English, Chinese). ``holds`` None means: in part; ``rule`` says when a claim counts as confirmed.

    ``unmeasured`` is the verdict of a claim that this machine cannot test.
    """

    claim: tuple[str, str]
    measured: tuple[str, str]
    rule: tuple[str, str]
    command: str
    holds: bool | None = None
    unmeasured: tuple[str, str] | None = None

    @property
    def verdict(self) -> tuple[str, str]:
        return self.unmeasured or VERDICTS[self.holds]


def share(count: int, total: int) -> bool | None:
    """``SHARE_RULE``."""
    if count >= 0.9 * total:
        return True
    return False if count <= 0.1 * total else None
