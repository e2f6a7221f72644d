"""Weight files read by their headers alone: names, types and shapes of the tensors, and whether the file is whole."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from wan.errors import CheckpointError
from wan.loading.foreign import content_problem, foreign_by_bytes, is_zip
from wan.untrusted.pickle_stream import ForeignGlobal
from wan.untrusted.refusal import Refused
from wan.untrusted.regular import open_regular, why_unusable
from wan.untrusted.safetensors_header import CutShort, read_header
from wan.untrusted.tensor_entry import TensorEntry
from wan.untrusted.torch_archive import NoArchive, read_archive

SAFETENSORS_SUFFIX = ".safetensors"
PICKLE_SUFFIXES = (".pth", ".pt", ".bin")

_LFS_MAGIC = b"version https://git-lfs"
_AGAIN = "download that file again"


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name to shape of a weight file; CheckpointError when it is damaged or shorter than its header says."""
    return {name: entry.shape for name, entry in read_entries(path).items()}


def read_entries(path: Path) -> Mapping[str, TensorEntry]:
    """Name to type and shape of a weight file of either format, by its suffix; CheckpointError as ``read_shapes``."""
    return _entries(path)[0]


def check_whole(path: Path) -> None:
    """CheckpointError when a weight file is missing, cut short, foreign, or no file of floats; reads no tensor."""
    if reason := why_unusable(path):
        what = "is missing; run the download again, it resumes"
        raise CheckpointError(f"{path} {what if 'missing' in reason else f'cannot be used: {reason}; {_AGAIN}'}")
    if is_lfs_pointer(path):
        raise CheckpointError(
            f"{path} is a Git LFS pointer of {path.stat().st_size} bytes, not the weights that it stands for; "
            "run `git lfs pull` in its folder, or the download"
        )
    if foreign := foreign_by_bytes(path):
        raise CheckpointError(foreign.sentence(path))
    if sentence := content_problem(*_entries(path), path):
        raise CheckpointError(sentence)


def is_lfs_pointer(path: Path) -> bool:
    """Whether a clone without git-lfs left its stand-in for the file."""
    with open_regular(path) as file:
        return file.read(len(_LFS_MAGIC)) == _LFS_MAGIC


def _entries(path: Path) -> tuple[Mapping[str, TensorEntry], Mapping[str, str]]:
    """(tensors, the author's notes), read once for every state of the file."""
    if reason := why_unusable(path):
        raise CheckpointError(f"{path} cannot be used: {reason}; {_AGAIN}")
    state = path.stat()
    return _entries_of_state(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1024)
def _entries_of_state(path: Path, size: int, modified_ns: int) -> tuple[Mapping[str, TensorEntry], Mapping[str, str]]:
    if path.suffix == SAFETENSORS_SUFFIX:
        return _safetensors(path)
    return _archive(path), {}


def _safetensors(path: Path) -> tuple[Mapping[str, TensorEntry], Mapping[str, str]]:
    try:
        header = read_header(path)
    except CutShort as error:
        raise CheckpointError(
            f"{path} is not whole, its download was cut short: {error}; run the download again, it resumes"
        ) from error
    except Refused as error:
        if is_zip(path):
            raise CheckpointError(f"{path} is a file of torch.save; give it the suffix .pth") from error
        raise CheckpointError(f"{path} is not a safetensors file: {error}; {_AGAIN}") from error
    return header.tensors, header.metadata


def _archive(path: Path) -> Mapping[str, TensorEntry]:
    try:
        return read_archive(path).tensors
    except NoArchive as error:
        raise CheckpointError(
            f"{path} is not a whole torch file (a zip archive, whose directory is at its end): {error}; "
            "download it again"
        ) from error
    except ForeignGlobal as error:
        raise CheckpointError(f"{path} cannot be read as a file of tensors: {error}; {_advice(error.name)}") from error
    except Refused as error:
        raise CheckpointError(f"{path} cannot be read as a file of tensors: {error}; download it again") from error


def _advice(name: str) -> str:
    """What to do about a pickle that names something of Python."""
    library = name.split(".")[0]
    if library in ("torchao", "optimum", "bitsandbytes", "hqq", "auto_gptq"):
        return f"its weights were quantised with {library}, which this version cannot load; use the official weights"
    if name == "torch._utils._rebuild_qtensor":
        return "its weights were quantised with torch, which this version cannot load; use the official weights"
    return "delete it, and take the file as it was published"
