"""The word list of a closed-vocabulary tokenizer, read from its file without importing a tokenizer library."""

import json
from pathlib import Path

from wan.errors import CheckpointError


def read_vocabulary(checkpoint_dir: Path) -> list[str]:
    """All words that the checkpoint knows, in alphabetical order, without special tokens such as <unk>."""
    path = checkpoint_dir / "tokenizer" / "tokenizer.json"
    try:
        words = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} holds no vocabulary ({error}); restore the checkpoint") from error
    return sorted(word for word in words if not word.startswith("<"))
