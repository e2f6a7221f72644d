"""What a file of ``torch.save`` holds, read without torch and without running its pickle.

The file is a zip archive of one pickle and the bytes of every storage. ``torch.load(weights_only=True)`` runs nothing
foreign either, but it believes the pickle about the size of a storage and the archive about the size of a member; both
are compared with the file here, before torch sees it.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan.untrusted.pickle_stream import StorageRef, TensorRef, read_pickle
from wan.untrusted.refusal import MALFORMED, Refused, reason_of, shown
from wan.untrusted.regular import open_regular
from wan.untrusted.tensor_entry import TensorEntry, is_shape, is_size

MAX_PICKLE_BYTES = 32 * 2**20
_MAX_MEMBERS = 200_000
_ENCRYPTED = 0x1
_LOCAL_HEADER_BYTES = 30
_PICKLE = "data.pkl"
_ZIP_ERRORS: tuple[type[Exception], ...] = (zipfile.BadZipFile, *MALFORMED)


class NoArchive(Refused):
    """Not a whole zip archive: cut short, or of another kind."""


@dataclass(frozen=True, slots=True)
class Archive:
    """``values``: the saved object, with a ``TensorEntry`` in the place of every tensor."""

    values: Any

    @property
    def tensors(self) -> Mapping[str, TensorEntry]:
        """The saved dict of tensors; ``Refused`` when it is anything else."""
        values = self.values
        if not isinstance(values, dict):
            raise Refused("it holds no named tensors")
        for name, value in values.items():
            if not isinstance(name, str) or not isinstance(value, TensorEntry):
                raise Refused(f"it holds more than named tensors ({shown(name)})")
        return values


def read_archive(path: Path) -> Archive:
    """Check a file of ``torch.save`` and list what is in it; ``Refused`` says why torch must not read it."""
    with open_regular(path) as file:
        size = file.seek(0, 2)
        if not size:
            raise NoArchive("it is empty")
        try:
            with zipfile.ZipFile(file) as archive:
                members = _checked_members(archive, size)
                prefix = _prefix(members)
                content = archive.read(members[prefix + _PICKLE])
        except Refused:
            raise
        except _ZIP_ERRORS as error:
            raise NoArchive(f"it is no whole zip archive ({reason_of(error)})") from error
    sizes = {name.removeprefix(f"{prefix}data/"): member.file_size for name, member in members.items()}
    return Archive(_described(read_pickle(content), sizes))


def _checked_members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    found = archive.infolist()
    members = {member.filename: member for member in found}
    if len(members) != len(found) or len(found) > _MAX_MEMBERS:
        raise Refused("its zip directory names a member twice, or far too many")
    end = 0
    for member in sorted(found, key=lambda member: member.header_offset):
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise Refused(f"its member {shown(member.filename)} is compressed, and torch stores its files plainly")
        if member.flag_bits & _ENCRYPTED:
            raise Refused(f"its member {shown(member.filename)} is encrypted")
        if member.header_offset < end:
            raise Refused(f"its member {shown(member.filename)} overlaps another one")
        end = member.header_offset + _LOCAL_HEADER_BYTES + len(member.filename.encode()) + member.file_size
        if end > size:
            raise Refused(f"its member {shown(member.filename)} would reach beyond the end of the file")
    return members


def _prefix(members: Mapping[str, zipfile.ZipInfo]) -> str:
    """The folder in the archive that everything is in, with its slash."""
    pickles = [name for name in members if name.split("/")[1:] == [_PICKLE]]
    if len(pickles) != 1:
        raise Refused("it is a zip archive, and not one of torch.save: it has no data.pkl")
    prefix = pickles[0].removesuffix(_PICKLE)
    if f"{prefix}constants.pkl" in members:
        raise Refused("it is a TorchScript program and not a file of tensors")
    if members[pickles[0]].file_size > MAX_PICKLE_BYTES:
        raise Refused(f"its pickle has {members[pickles[0]].file_size:,} bytes, which no list of tensors needs")
    return prefix


def _described(value: Any, sizes: Mapping[str, int]) -> Any:
    """The value with every tensor checked against the storage that it lies in."""
    if isinstance(value, TensorRef):
        return _entry(value, sizes)
    if isinstance(value, dict):
        return {name: _flat(item, sizes) for name, item in value.items()}
    return _flat(value, sizes)


def _flat(value: Any, sizes: Mapping[str, int]) -> Any:
    """A value of the outer dict: a tensor or a plain value; what is inside of a list or dict is of no use here."""
    return _entry(value, sizes) if isinstance(value, TensorRef) else value


def _entry(tensor: TensorRef, sizes: Mapping[str, int]) -> TensorEntry:
    storage, shape, stride = tensor.storage, tensor.shape, tensor.stride
    if not isinstance(storage, StorageRef) or not is_shape(shape) or not is_shape(stride) or len(shape) != len(stride):
        raise Refused(f"a tensor has the impossible shape {shown(shape)} and stride {shown(stride)}")
    held = sizes.get(storage.key)
    entry = TensorEntry(storage.dtype, tuple(shape))
    whole = TensorEntry(storage.dtype, (storage.elements,))
    if held is None or held != whole.byte_count:
        raise Refused(f"a storage should have {whole.byte_count:,} bytes and the file has {held or 0:,} for it")
    last = sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if not is_size(tensor.offset) or (entry.elements and tensor.offset + last >= storage.elements):
        raise Refused(f"a tensor of shape {shown(shape)} reaches beyond its storage")
    if entry.elements > storage.elements:
        raise Refused(f"a tensor of shape {shown(shape)} is stored in only {storage.elements:,} elements")
    return entry
