"""Runs the real command in this process, and does it harm at a chosen point: ``child.py ACTION@POINT COMMAND FLAGS``.

Actions: ``kill`` (SIGKILL), ``term`` (SIGTERM), ``remove`` (the output folder is deleted), ``replace``
(and a file stands in its place), ``break`` (a resume that loses precision, for the test of the assault itself). Points:

    loading         the second network's weights        text        the prompt
    step:N          step N is computed, not kept        state:N     step N is kept
    save_state:K    the K-th resume file is half written
    decode:K        the K-th latent frame               encode:K    the K-th picture goes into the mp4
    bytes:SUFFIX:K  the K-th file of that suffix is half written
    whole:NAME:K    the K-th file of that final name is whole and has not got its name
    renamed:NAME:K  the K-th file of that final name has just got it
    start           the run folder is about to be made

``meet:N`` as an action waits at the point until N processes are there; ``offline@always`` refuses every connection and
writes it down.
"""

import importlib
import os
import runpy
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Act = Callable[[], None]
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request")
TOUCHED = "TOUCHED_THE_NETWORK"


def main(argv: list[str]) -> None:
    """Arrange the harm, none for an empty plan, and run the command as its script does; ends with SystemExit."""
    plan, name, *flags = argv
    if plan:
        action, _, point = plan.partition("@")
        words = point.split(":")
        _POINTS[words[0]](_action(action, flags), *words[1:])
    if name == "generate":
        sys.argv = ["generate.py", *flags]
        runpy.run_path(str(ROOT / "generate.py"), run_name="__main__")
    else:
        sys.argv = ["wan", name, *flags]
        runpy.run_module("wan", run_name="__main__", alter_sys=True)


def _action(action: str, flags: list[str]) -> Act:
    name, _, value = action.partition(":")
    match name:
        case "kill":
            return lambda: os.kill(os.getpid(), signal.SIGKILL)
        case "term":
            return lambda: os.kill(os.getpid(), signal.SIGTERM)
        case "remove":
            return lambda: shutil.rmtree(_output_dir(flags))
        case "replace":
            return lambda: _file_instead(_output_dir(flags))
        case "meet":
            return lambda: _meet(Path(os.environ["MEETING"]), int(value))
        case "break":
            return _lose_precision
        case "offline":
            return _refuse_network
    raise ValueError(action)


def _output_dir(flags: list[str]) -> Path:
    return Path(flags[flags.index("--output_dir") + 1])


def _file_instead(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file")


def _meet(place: Path, number: int) -> None:
    (place / str(os.getpid())).touch()
    end = time.monotonic() + 120
    while len(list(place.iterdir())) < number and time.monotonic() < end:
        time.sleep(0.005)


def _around(module: str, path: str, *, act: Act, when: Callable[..., bool], half: bool = False) -> None:
    """Act at a call of a function of the product: after it, or with ``half`` when it has written half of its bytes."""
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        is_due = when(*args, **kwargs)
        result = original(*args, **kwargs)
        if is_due:
            if half:
                written = next(Path(arg) for arg in args if isinstance(arg, Path))
                os.truncate(written, written.stat().st_size // 2)
            act()
        return result

    setattr(owner, name, call)


def _at_call(number: str) -> Callable[..., bool]:
    """True at the ``number``-th call."""
    left = [int(number)]

    def when(*_: Any, **__: Any) -> bool:
        left[0] -= 1
        return left[0] == 0

    return when


def _at_step(act: Act, number: str) -> None:
    def when(_: Any, step: Any, *__: Any) -> bool:
        return bool(step.index + 1 == int(number))

    _around("wan.models.denoiser", "WanDenoiser.predict", act=act, when=when)


def _at_state(act: Act, number: str) -> None:
    def when(_: Any, event: Any) -> bool:
        return bool(event.step.index + 1 == int(number))

    _around("wan.run_parts", "ResumeFile.on_step_end", act=act, when=when)


def _at_bytes(act: Act, suffix: str, number: str) -> None:
    turn = _at_call(number)
    _around("pathlib", "Path.write_bytes", act=act, half=True, when=lambda path, _: path.suffix == suffix and turn())


def _at_rename(act: Act, name: str, number: str, *, before: bool) -> None:
    turn = _at_call(number)

    def watched(give: Callable[[Any, Any], None]) -> Any:
        def call(source: Any, target: Any) -> None:
            is_due = Path(target).name == name and turn()
            if is_due and before:
                act()
            give(source, target)
            if is_due and not before:
                act()

        return call

    # a file gets its name by either, see atomic_path
    os.replace, os.link = watched(os.replace), watched(os.link)


def _always(act: Act) -> None:
    act()


def _refuse_network() -> None:
    place = Path(os.environ[TOUCHED])

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event not in _NETWORK or (event == "socket.connect" and not isinstance(args[1], tuple)):
            return  # a socket of this machine's file system is no network
        with place.open("a") as file:
            file.write(f"{event} {args[1:]!r}\n")
        raise OSError("no network here")

    sys.addaudithook(hook)


def _lose_precision() -> None:
    """A resume that is not right: the latents that it goes on with are rounded."""
    snapshot: Any = importlib.import_module("wan.sampling.snapshot").Snapshot
    restored = snapshot.sampler_state

    def call(self: Any, solver: Any) -> Any:
        state = restored(self, solver)
        state.latents = state.latents.bfloat16().float()
        return state

    snapshot.sampler_state = call


_POINTS: dict[str, Callable[..., None]] = {
    "loading": lambda act: _around("wan.loading.component", "Component._fill", act=act, when=_at_call("2")),
    "text": lambda act: _around("wan.models.text", "TextEncoder.encode", act=act, when=_at_call("1")),
    "step": _at_step,
    "state": _at_state,
    "save_state": lambda act, k: _around("wan.runs.state_file", "save_file", act=act, half=True, when=_at_call(k)),
    "decode": lambda act, k: _around("wan.models.frame_decoder", "_Memory.decode", act=act, when=_at_call(k)),
    "encode": lambda act, k: _around("wan.runs.video", "_to_bt709", act=act, when=_at_call(k)),
    "bytes": _at_bytes,
    "whole": lambda act, name, k: _at_rename(act, name, k, before=True),
    "renamed": lambda act, name, k: _at_rename(act, name, k, before=False),
    "start": lambda act: _before_run_folder(act),
    "always": _always,
}


def _before_run_folder(act: Act) -> None:
    """All that meet here then name their folders after the same second."""
    from datetime import datetime

    generation: Any = importlib.import_module("wan.generation")
    make = generation.create_run_directory

    def call(output_dir: Path, **named: Any) -> Path:
        act()
        return make(output_dir, **named | {"now": datetime(2026, 1, 2, 3, 4, 5)})

    generation.create_run_directory = call


if __name__ == "__main__":
    # this script's folder must not be searched for modules, the project must
    sys.path[0] = str(ROOT)
    main(sys.argv[1:])
