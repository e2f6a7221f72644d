"""One rank of a group in which rank 1 raises, or stops answering, when it is to sample."""

import os
import signal
import sys
from typing import Any

from wan.cli.main import run
from wan.errors import NumericalError
from wan.parallel import group
from wan.session import Session

ANSWER_SECONDS, END_SECONDS = 3.0, 5.0


def fail(self: Session, *args: Any, **how: Any) -> None:
    raise NumericalError("made up by a test")


def hang(self: Session, *args: Any, **how: Any) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    group.ANSWER_SECONDS, group.END_SECONDS = ANSWER_SECONDS, END_SECONDS
    if os.environ["RANK"] == "1":
        Session.sample = {"fail": fail, "hang": hang}[sys.argv[1]]  # type: ignore[assignment]
    sys.exit(run("generate", sys.argv[2:]))
