"""The word list of a closed-vocabulary tokenizer, read from its file without importing a tokenizer library."""

from pathlib import Path

from wan.errors import CheckpointError
from wan.untrusted.json_text import read_json_object
from wan.untrusted.refusal import Refused, reason_of


def read_vocabulary(checkpoint_dir: Path) -> list[str]:
    """All words that the checkpoint knows, in alphabetical order, without special tokens such as <unk>."""
    path = checkpoint_dir / "tokenizer" / "tokenizer.json"
    try:
        words = read_json_object(path)["model"]["vocab"]
    except (Refused, LookupError, TypeError) as error:
        raise CheckpointError(f"{path} holds no vocabulary ({reason_of(error)}); restore the checkpoint") from error
    if not isinstance(words, dict):
        raise CheckpointError(f"{path} holds no closed vocabulary; restore the checkpoint")
    return sorted(word for word in words if not word.startswith("<"))
