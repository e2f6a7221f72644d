"""Small tools that break files for the assault: headers rewritten, tensors replaced, pickles with a payload."""

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Harm = Callable[[Path], object]


def rewrite(path: Path, content: bytes) -> None:
    """Replace a file that may be a hard link to the pristine one."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def content(name: str, value: bytes) -> Harm:
    """Put other bytes in a file's place."""
    return lambda folder: rewrite(folder / name, value)


def edited(name: str, edit: Callable[[bytes], bytes]) -> Harm:
    """Change a file's bytes."""
    return lambda folder: rewrite(folder / name, edit((folder / name).read_bytes()))


def cut(name: str, keep: float) -> Harm:
    """Keep the first part of a file."""
    return edited(name, lambda old: old[: int(len(old) * keep)])


def flipped(name: str, position: int) -> Harm:
    """Flip one bit of the header of a safetensors file (or of any file)."""

    def edit(old: bytes) -> bytes:
        index = position % min(len(old), 8 + int.from_bytes(old[:8], "little"))
        return old[:index] + bytes([old[index] ^ 1 << position % 8]) + old[index + 1 :]

    return edited(name, edit)


def header(name: str, edit: Callable[[dict[str, Any]], object]) -> Harm:
    """Change the header of a safetensors file; ``edit`` changes it in place or returns the new one."""

    def change(old: bytes) -> bytes:
        length = int.from_bytes(old[:8], "little")
        entries = json.loads(old[8 : 8 + length])
        made = edit(entries)
        text = json.dumps(entries if made is None else made).encode()
        return struct.pack("<Q", len(text)) + text + old[8 + length :]

    return edited(name, change)


def raw_header(name: str, edit: Callable[[bytes], bytes]) -> Harm:
    """Change the text of a header."""

    def change(old: bytes) -> bytes:
        length = int.from_bytes(old[:8], "little")
        text = edit(old[8 : 8 + length])
        return struct.pack("<Q", len(text)) + text + old[8 + length :]

    return edited(name, change)


def first_entry(name: str, **values: Any) -> Harm:
    """Change fields of the first tensor of a header; None removes one."""

    def edit(entries: dict[str, Any]) -> None:
        entry = entries[next(key for key in entries if key != "__metadata__")]
        entry |= values
        for key in [key for key, value in values.items() if value is None]:
            del entry[key]

    return header(name, edit)


def tensors(name: str, edit: Callable[[dict[str, Tensor]], object], metadata: dict[str, str] | None = None) -> Harm:
    """Change the tensors of a safetensors or torch file; ``edit`` changes them in place or returns the new ones."""

    def change(folder: Path) -> None:
        path = folder / name
        is_torch = path.suffix == ".pth"
        held = torch.load(path, weights_only=True) if is_torch else load_file(path)
        made = edit(held)
        result: Any = held if made is None else made
        path.unlink()
        if is_torch:
            torch.save(result, path)
        else:
            save_file({key: value.contiguous().clone() for key, value in result.items()}, path, metadata)

    return change


def first(held: Mapping[str, Tensor], axes: int = 1) -> str:
    """The first name of a tensor with so many axes."""
    return next(name for name in sorted(held) if held[name].ndim == axes)


def config(name: str, **values: Any) -> Harm:
    """Change values of a JSON file; the text of each value may be given as bytes, for what JSON cannot express."""

    def change(folder: Path) -> None:
        held = json.loads((folder / name).read_text(encoding="utf-8"))
        marks = {f"@{key}@": value for key, value in values.items() if isinstance(value, bytes)}
        held |= {key: f"@{key}@" if isinstance(value, bytes) else value for key, value in values.items()}
        text = json.dumps(held).encode()
        for mark, value in marks.items():
            text = text.replace(json.dumps(mark).encode(), value)
        rewrite(folder / name, text)

    return change


def without(name: str, key: str) -> Harm:
    """Remove a key of a JSON file."""

    def change(folder: Path) -> None:
        held = json.loads((folder / name).read_text(encoding="utf-8"))
        del held[key]
        rewrite(folder / name, json.dumps(held).encode())

    return change


def removed(name: str) -> Harm:
    """Remove a file."""
    return lambda folder: (folder / name).unlink()


def fifo(name: str) -> Harm:
    """Put a named pipe in a file's place: whoever opens it waits for ever."""

    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return change


def directory(name: str) -> Harm:
    """Put a folder in a file's place."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def linked(name: str, target: str) -> Harm:
    """Put a link in the place of a file or folder; ``{aside}`` is a whole copy of it, outside of the checkpoint."""

    def change(folder: Path) -> None:
        path, aside = folder / name, folder.parent / "aside" / Path(name).name
        aside.parent.mkdir(exist_ok=True)
        path.rename(aside)
        path.symlink_to(target.format(aside=aside, name=path.name))

    return change


class Payload:
    """Pickled into a call that leaves a trace when anything runs it."""

    def __init__(self, trap: Path, call: Callable[..., object] = os.mkdir) -> None:
        self.trap, self.call = trap, call

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return self.call, (str(self.trap),)


def trap_of(folder: Path) -> Path:
    """What a payload makes when it is run; beside the folder that is broken."""
    return folder.parent / "TRAP"


def payload(name: str, *, key: str, protocol: int = 2, call: Callable[..., object] = os.mkdir) -> Harm:
    """A file of torch.save whose pickle makes a call while it is read."""

    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        held = {key: Payload(trap_of(folder), call)}
        torch.save(held, folder / name, pickle_module=pickle, pickle_protocol=protocol)

    return change


def bare_pickle(name: str, protocol: int) -> Harm:
    """A pickle with a payload and no archive around it."""
    return lambda folder: rewrite(folder / name, pickle.dumps(Payload(trap_of(folder)), protocol=protocol))


def rezipped(name: str, edit: Callable[[dict[str, bytes]], object], compression: int = zipfile.ZIP_STORED) -> Harm:
    """Change the members of a torch file, and write them with a compression."""

    def change(folder: Path) -> None:
        with zipfile.ZipFile(folder / name) as archive:
            members = {member.filename: archive.read(member) for member in archive.infolist()}
        edit(members)
        (folder / name).unlink()
        with zipfile.ZipFile(folder / name, "w", compression) as archive:
            for member, value in members.items():
                archive.writestr(member, value)

    return change


def pickled(name: str, edit: Callable[[bytes], bytes]) -> Harm:
    """Change the pickle inside of a torch file."""

    def change(members: dict[str, bytes]) -> None:
        member = next(member for member in members if member.endswith("/data.pkl"))
        members[member] = edit(members[member])

    return rezipped(name, change)
