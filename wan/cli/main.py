"""The command ``wan``: finds a command's module, and turns what goes wrong into one sentence and an exit code.

Exit codes of every command: 0; 2 for what a user asked for and cannot have; 1 for everything else that fails.
"""

import difflib
import importlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import wan
from wan.commands import COMMANDS, in_clone, module_of, program
from wan.console import flush_streams, lasting_streams, silent_streams
from wan.errors import InvalidInput, WanError
from wan.parallel.ranks import ranks_here

_INTERRUPTED: Mapping[str, str] = {
    "generate": "what was computed is in the run folder, and --resume goes on with it",
    "batch": "the same command goes on with what is not finished",
    "serve": "the same command goes on with what is not finished",
    "extend": "nothing was kept",
    "compare": "the same command continues",
    "continuity": "the same command continues",
    "convert": "the same command continues",
    "download": "the same command resumes",
    "bench arena": "the same command continues",
    "tune": "the same command continues",
}
_INSTALL = "pip install -r requirements.txt" if in_clone() else "pip install 'wan22-shortcut[analysis]'"


def main(argv: Sequence[str]) -> int:
    """Run ``wan COMMAND ...``."""
    if argv and argv[0] in COMMANDS:
        return run(argv[0], argv[1:])
    return explained("wan", lambda: _about(argv), interrupted="nothing was done")


def _about(argv: Sequence[str]) -> int:
    """What is no command: the overview, the version, or a word that names none."""
    if not argv or argv[0] in ("-h", "--help"):
        print(overview())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"wan {wan.__version__}")
        return 0
    near = difflib.get_close_matches(argv[0], COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(COMMANDS)}"
    raise InvalidInput(f"{argv[0]!r} is not a command; {hint}")


def run(name: str, argv: Sequence[str]) -> int:
    """Run one command and report what goes wrong, under the name by which its reader called it.

    Where the first word names a command of this one (``bench arena``), that is run with the rest.
    """
    if argv and f"{name} {argv[0]}" in COMMANDS:
        return run(f"{name} {argv[0]}", argv[1:])

    def call() -> int | None:
        module = importlib.import_module(module_of(name))
        code: int | None = module.main(argv)
        return code

    return explained(label_of(name), call, interrupted=_INTERRUPTED.get(name, "what was finished stays on disk"))


def label_of(name: str) -> str:
    """What the sentences of a command begin with: doctor.py, or wan doctor."""
    return program(name).removeprefix("python ").removeprefix("tools/").removeprefix("-m ")


def explained(label: str, call: Callable[[], int | None], *, interrupted: str) -> int:
    """The exit code of a call; an error becomes one sentence on stderr that begins with ``label``."""
    lasting_streams()
    if not speaks():
        silent_streams()
    code = _code_of(label, call, interrupted=interrupted)
    if unwritten := flush_streams():
        print(f"{label}: failed: standard output cannot be written ({unwritten.strerror})", file=sys.stderr)
        return code or 1
    return code


def speaks() -> bool:
    """Whether this process reports: in a group that torchrun started, rank 0 does for all."""
    try:
        return ranks_here().leads
    except InvalidInput:
        return True  # the command says it


def _code_of(label: str, call: Callable[[], int | None], *, interrupted: str) -> int:
    try:
        with stopping_like_ctrl_c():
            return call() or 0
    except InvalidInput as error:
        print(f"{label}: {error}", file=sys.stderr)
        return 2
    except UnicodeEncodeError as error:
        # what no check has met before: a library that takes valid UTF-8 alone was given something else
        print(f"{label}: {error.object[:80]!a} is not valid UTF-8; write it in UTF-8", file=sys.stderr)
        return 2
    except (WanError, OSError) as error:
        print(f"{label}: failed: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "wan":
            raise
        print(f"{label}: {missing_package(error.name)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{label}: interrupted; {interrupted}", file=sys.stderr)
        return 1


@contextmanager
def stopping_like_ctrl_c() -> Iterator[None]:
    """A polite end from outside (SIGTERM: kill, a queue's time limit, a shutdown; SIGHUP: the terminal is gone) ends a
    command as Ctrl-C does: what was computed is kept."""
    if threading.current_thread() is not threading.main_thread() or not speaks():
        yield  # Python lets only the main thread say what a signal does; a rank other than 0 has nothing to keep
        return
    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # nohup ignores SIGHUP, and that stays so
    changed = [one for one in signals if signal.getsignal(one) is signal.SIG_DFL]
    for one in changed:
        signal.signal(one, signal.default_int_handler)
    try:
        yield
    finally:
        for one in changed:
            signal.signal(one, signal.SIG_DFL)


def missing_package(name: str) -> str:
    """The sentence about a package that is not installed."""
    activate = ", or activate the environment that has it" if in_clone() else ""
    return f"the Python package {name} is not installed here ({sys.executable}); run `{_INSTALL}`{activate}"


def overview() -> str:
    """``wan --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: wan COMMAND ...",
            "",
            "Wan2.2 video generation with training-free shortcuts, and the instruments that measure them.",
            "",
            *lines,
            "",
            "wan COMMAND --help describes one; wan --version. Try: wan generate --task t2v-demo",
        ]
    )


def entry() -> None:
    """The installed script."""
    sys.exit(main(sys.argv[1:]))
