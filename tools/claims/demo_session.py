"""The demo model, loaded once and kept in memory, for tools that measure or draw it."""

from wan.options import parse_options
from wan.session import Session


def open_demo_session(ckpt_dir: str | None) -> Session:
    """A session of t2v-demo in its default setting; ``CheckpointError`` when the checkpoint is not there."""
    where = [] if ckpt_dir is None else ["--ckpt_dir", ckpt_dir]
    argv = ["--task", "t2v-demo", "--offload_model", "False", *where]
    return Session(parse_options(argv), show_progress=False)
