"""Swapped or duplicated experts: two folders with each other's weights, or the same, run without an error."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from wan.commands import quoted
from wan.loading.fingerprint import fingerprint, read_manifest
from wan.loading.problems import Problem, verbatim

_LISTED = 3


def identity_problems(ckpt_dir: Path, high: Path, low: Path) -> Iterator[Problem]:
    """What is wrong with the weight files of the two expert folders of ``ckpt_dir``; reads some KiB of each.

    Swapped folders cannot be told from names, shapes or configs, which are the same for both experts: they are found
    where a manifest of the download or conversion says which file belongs where.
    """
    found = {folder: _fingerprints(folder) for folder in (high, low)}
    same = sorted(name for name, value in found[high].items() if found[low].get(name) == value)
    if same:
        listed = ", ".join(same[:_LISTED]) + (f" and {len(same) - _LISTED} more" if len(same) > _LISTED else "")
        yield Problem(
            f"{high} and {low} hold the same weights ({listed}), and the two experts of a model differ in every file; "
            "download them again"
        )
    elif _are_swapped(ckpt_dir, found, high, low):
        yield Problem(
            f"{high} and {low} are swapped: each holds the files that were downloaded or converted for the other; "
            "exchange their names",
            mend=_exchange(high, low),
        )


def _are_swapped(ckpt_dir: Path, found: Mapping[Path, Mapping[str, str]], high: Path, low: Path) -> bool:
    manifest = read_manifest(ckpt_dir)
    if manifest is None:
        return False
    recorded = {folder: _recorded(manifest.files, folder.relative_to(ckpt_dir).as_posix()) for folder in (high, low)}
    # all files of both: one shard that was replaced is not an exchange of folders
    return bool(found[high]) and found[high] == recorded[low] and found[low] == recorded[high]


def _fingerprints(folder: Path) -> dict[str, str]:
    return {file.name: fingerprint(file) for file in sorted(folder.glob("*.safetensors")) if file.is_file()}


def _recorded(files: Mapping[str, str], folder: str) -> dict[str, str]:
    prefix = f"{folder}/"
    return {
        name.removeprefix(prefix): value
        for name, value in files.items()
        if name.startswith(prefix) and name.endswith(".safetensors")
    }


def _exchange(high: Path, low: Path) -> str:
    aside = high.with_name(f"{high.name}.aside")
    moves = ((high, aside), (low, high), (aside, low))
    return verbatim(" && ".join(f"mv {quoted(old)} {quoted(new)}" for old, new in moves))
