"""Paths that a checkpoint may name: its own files, and the store of a download that it is linked to."""

import re
from pathlib import Path

from wan.untrusted.refusal import shown

_BLOBS, _SNAPSHOTS = "blobs", "snapshots"
_SHARD = re.compile(r"[^/\\\0:]{1,200}\.safetensors")


def is_shard_name(name: object) -> bool:
    """Whether an index may name it: a safetensors file in the index's own folder, without any path."""
    return isinstance(name, str) and not name.startswith(".") and _SHARD.fullmatch(name) is not None


def outside_problem(path: Path, ckpt_dir: Path) -> str | None:
    """The sentence about a link that leads out of the checkpoint's folder; None for what lies in it.

    The cache of a hub keeps files in ``blobs`` and links to them from ``snapshots/REVISION``: those links are followed.
    """
    if not path.exists():
        return None  # reported as what it is, where it is needed
    try:
        root, target = ckpt_dir.resolve(), path.resolve()
    except (OSError, RuntimeError):
        return f"{path} is a link that leads to itself; put the file itself there"
    if target.is_relative_to(root) or _in_hub_cache(root, target):
        return None
    return (
        f"{path} is a link to {shown(target, 200)}, outside of the checkpoint's folder; put the file itself there "
        "(a hard link takes no room)"
    )


def _in_hub_cache(root: Path, target: Path) -> bool:
    stores = (parent.parent / _BLOBS for parent in (root, *root.parents) if parent.name == _SNAPSHOTS)
    return any(target.is_relative_to(store) for store in stores)
