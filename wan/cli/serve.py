"""``wan serve``: a page and an API for videos, in front of one queue and its workers."""

import argparse
import importlib.util
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from wan.commands import command_line, in_clone
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput
from wan.flags import Groups, Parser, add_flags, data_of, make_parser, values_of
from wan.limits import check_count, refuse_infinite
from wan.loading.layouts import served_tasks
from wan.machine import GROUP as MACHINE
from wan.machine import SEVERAL, add_machine_flags, machine_of
from wan.prompt_extension import GROUP as EXTENSION
from wan.prompt_extension import PromptExtension
from wan.request import DEFAULT_OUTPUT_DIR, SAMPLING, Request
from wan.serve.fields import SAMPLING_FIELDS
from wan.serve.planning import refuse_unservable
from wan.serve.settings import MAX_COST, MAX_PROMPT, MAX_QUEUE, MAX_UPLOAD_MIB, RETRIES, DeskSettings
from wan.texts import MAX_PROMPT as LONGEST_PROMPT
from wan.weight_options import WeightOptions

TOKEN_VARIABLE, MIN_TOKEN = "WAN_TOKEN", 16
DEMO = "t2v-demo"
MOST_WAITING, MOST_UPLOAD_MIB, MOST_COST, MOST_RETRIES = 100_000, 1024, 1e6, 100
_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
_PAGE, _PAGE_NEEDS = "wan.serve.page", "gradio"
ADDRESS, SERVED, LIMITS = "address", "what is served", "limits"
DESCRIPTION = f"""\
A page and an API for videos, in front of one queue, whose workers make one video after another.

    {command_line("serve")}                                   the demo model, on http://127.0.0.1:8000
    {command_line("serve", "--ckpt_dir", "DIR")} --output_dir VIDEOS
    {command_line("serve", "--lora", "t2v-demo-4steps")} --sample_steps 4 --sample_guide_scale 1 --sample_solver euler
    {TOKEN_VARIABLE}=... {command_line("serve", "--host", "0.0.0.0")}      for others, who need the token

The API is that of OpenAI for videos: POST /v1/videos, GET /v1/videos/ID, GET /v1/videos/ID/content. The queue is in the
output folder: a service that is stopped or killed goes on where it was when it is started again.
"""


def main(argv: Sequence[str]) -> int:
    args = build_parser().parse_args(argv)
    has_page = not args.no_page and importlib.util.find_spec(_PAGE) is not None
    refuse_without_extra(has_page=has_page)
    settings, token = settings_of(args), token_of(args)
    _refuse_open(args, token)
    refuse_unservable(settings)
    with listen(args.host, args.port) as listening:
        if args.dry_run:
            print(f"would serve {', '.join(settings.models)} on {_address(args.host, args.port)}: {settings.folder}")
        else:
            serve(settings, listening, args, token=token, has_page=has_page)
    return 0


def build_parser() -> Parser:
    """Where it listens, what it serves, and what clients may ask for."""
    parser = make_parser("serve", DESCRIPTION)
    groups = Groups(parser)
    _add_address(groups[ADDRESS])
    _add_served(groups[SERVED])
    _add_limits(groups[LIMITS])
    groups[SAMPLING].description = "for requests that leave these out"
    add_flags(groups, Request, only=SAMPLING_FIELDS)
    add_flags(groups, PromptExtension)
    for action in groups[EXTENSION]._group_actions:
        if action.dest == "use_prompt_extend":
            action.help = "let clients have their prompt written out by a language model"
    add_flags(groups, WeightOptions)
    add_machine_flags(groups)
    groups[MACHINE].add_argument(
        "--devices", nargs="+", default=[], metavar="DEVICE", help="one worker on each: cuda:0 cuda:1 (the best one)"
    )
    for action in groups[SEVERAL]._group_actions:
        action.help = argparse.SUPPRESS  # a worker is one process
    return parser


def _add_address(address: "argparse._ArgumentGroup") -> None:
    address.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s); others need a token")
    address.add_argument("--port", type=int, default=8000, help="port to listen on; 0: a free one (%(default)s)")
    address.add_argument(
        "--token",
        help=f"what clients must send as Authorization: Bearer; better in the variable {TOKEN_VARIABLE}, because the "
        "list of processes shows flags",
    )
    address.add_argument(
        "--allow_host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which a proxy in front of it is called; needs a token",
    )


def _add_served(served: "argparse._ArgumentGroup") -> None:
    served.add_argument(
        "--output_dir", type=Path, default=DEFAULT_OUTPUT_DIR, metavar="DIR", help="run folders and queue (%(default)s)"
    )
    served.add_argument(
        "--ckpt_dir", type=Path, nargs="+", default=[], metavar="DIR", help="checkpoint folders; none: the demo model"
    )
    served.add_argument(
        "--task",
        nargs="+",
        default=[],
        choices=sorted(WAN_CONFIGS),
        help="the tasks that may be asked for, the default first; default: all that the folders serve",
    )
    served.add_argument("--no_page", action="store_true", help="the API alone")
    served.add_argument(
        "--accept_changes",
        action="store_true",
        help="go on with stopped videos although code, versions or device have changed (not bit-equal)",
    )
    served.add_argument("--dry_run", action="store_true", help="check everything, serve nothing")


def _add_limits(limits: "argparse._ArgumentGroup") -> None:
    limits.add_argument(
        "--max_queue", type=int, default=MAX_QUEUE, metavar="N", help="so many may wait, then 429 (%(default)s)"
    )
    limits.add_argument(
        "--max_upload_mib", type=int, default=MAX_UPLOAD_MIB, metavar="MIB", help="of one picture (%(default)s)"
    )
    limits.add_argument(
        "--max_prompt", type=int, default=MAX_PROMPT, metavar="N", help="characters of a prompt (%(default)s)"
    )
    limits.add_argument(
        "--max_cost",
        type=float,
        default=MAX_COST,
        metavar="N",
        help="of one video, in videos with the task's default settings (%(default)g)",
    )
    limits.add_argument(
        "--retries", type=int, default=RETRIES, metavar="N", help="how often a failed one is tried again (%(default)s)"
    )


def refuse_without_extra(*, has_page: bool) -> None:
    """``InvalidInput`` with the command that installs it, where a package of the extra is not installed."""
    needed = (*_NEEDED, *([_PAGE_NEEDS] if has_page else []))
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if not missing:
        return
    how = "-r requirements-serve.txt" if in_clone() else "'wan22-shortcut[serve]'"
    only_page = ", or give --no_page for the API alone" if missing == [_PAGE_NEEDS] else ""
    raise InvalidInput(
        f"a service needs packages that are not installed here ({', '.join(missing)}; {sys.executable}): run "
        f"`pip install {how}`{only_page}"
    )


def settings_of(args: argparse.Namespace) -> DeskSettings:
    """The flags, checked as far as one can without opening anything."""
    check_count("--max_queue", args.max_queue, most=MOST_WAITING)
    check_count("--max_upload_mib", args.max_upload_mib, most=MOST_UPLOAD_MIB)
    check_count("--max_prompt", args.max_prompt, most=LONGEST_PROMPT)
    refuse_infinite("--max_cost", [args.max_cost], most=MOST_COST)
    if args.max_cost <= 0:
        raise InvalidInput(f"--max_cost {args.max_cost:g} must be above 0; 1 allows the task's default video alone")
    if not 0 <= args.retries <= MOST_RETRIES:
        raise InvalidInput(f"--retries {args.retries} must be from 0 to {MOST_RETRIES}")
    machine = machine_of(args)
    if args.devices and machine.device:
        raise InvalidInput("--device and --devices both say where the workers run; give --devices alone")
    sampling = {name: getattr(args, name) for name in SAMPLING_FIELDS}
    sampling["sample_guide_scale"] = tuple(sampling["sample_guide_scale"] or ()) or None
    extension = PromptExtension(**values_of(PromptExtension, args))
    return DeskSettings(
        folder=args.output_dir.absolute(),
        models=models_of(args.task, [folder.absolute() for folder in args.ckpt_dir]),
        machine=machine,
        devices=tuple(args.devices) or (machine.device,),
        max_queue=args.max_queue,
        max_prompt=args.max_prompt,
        max_upload=args.max_upload_mib * 2**20,
        max_cost=args.max_cost,
        retries=args.retries,
        accept_changes=args.accept_changes,
        weights=WeightOptions(**values_of(WeightOptions, args)),
        defaults=data_of(Request(**sampling)),
        extension=extension if extension.use_prompt_extend else None,
    )


def models_of(tasks: Sequence[str], folders: Sequence[Path]) -> dict[str, Path | None]:
    """The tasks that may be asked for, with their checkpoint folders; ``InvalidInput`` where that is not clear."""
    served = {folder: served_tasks(folder) for folder in folders}
    if not tasks:
        for folder, found in served.items():
            if not found:
                raise InvalidInput(
                    f"--ckpt_dir {folder} describes no denoiser that a task here runs; `{command_line('doctor')} "
                    f"--ckpt_dir {folder}` says what is missing"
                )
        tasks = [task for found in served.values() for task in found] or [DEMO]
    models = {task: _folder_of(task, served, is_only=len(tasks) == 1) for task in tasks}
    unused = [folder for folder in folders if folder not in models.values()]
    if unused:
        raise InvalidInput(f"--ckpt_dir {unused[0]} serves none of {', '.join(tasks)}; leave it out, or change --task")
    return models


def _folder_of(task: str, served: Mapping[Path, Sequence[str]], *, is_only: bool) -> Path | None:
    """The folder that serves a task; where one task and one folder are given, they are for each other."""
    folders = list(served) if is_only and len(served) == 1 else [one for one, found in served.items() if task in found]
    if len(folders) > 1:
        raise InvalidInput(
            f"--ckpt_dir {folders[0]} and {folders[1]} both serve {task}; leave one out, or choose with --task"
        )
    if not folders and WAN_CONFIGS[task].bundled_checkpoint is None:
        raise InvalidInput(f"--task {task} needs a --ckpt_dir that serves it")
    return folders[0] if folders else None


def token_of(args: argparse.Namespace) -> str | None:
    """The token of the flag or of the environment, checked; None where there is none."""
    token = os.environ.get(TOKEN_VARIABLE) if args.token is None else args.token
    if token is None:
        return None
    if len(token) < MIN_TOKEN or not (token.isascii() and token.isprintable()) or " " in token:
        raise InvalidInput(
            f"the token (--token, or {TOKEN_VARIABLE}) must have at least {MIN_TOKEN} letters, digits or signs without "
            "spaces; `python -c 'import secrets; print(secrets.token_urlsafe())'` makes one"
        )
    return str(token)


def _refuse_open(args: argparse.Namespace, token: str | None) -> None:
    """``InvalidInput`` for a service that others could reach without a token."""
    if token is not None:
        return
    if args.allow_host or not is_loopback(args.host):
        what = f"--allow_host {args.allow_host[0]}" if args.allow_host else f"--host {args.host}"
        raise InvalidInput(
            f"{what} lets others reach the service, and everybody could use it; set a token in the variable "
            f"{TOKEN_VARIABLE}, or leave the flag out"
        )


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; ``InvalidInput`` when the address cannot be had."""
    if not 0 <= port <= 65535:
        raise InvalidInput(f"--port {port} must be from 0 to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise InvalidInput(
            f"--host {host} --port {port} cannot be listened on ({os.strerror(error.errno or 0)}); give another "
            "--port (0: a free one), or stop what uses it"
        ) from None


def serve(
    settings: DeskSettings, listening: socket.socket, args: argparse.Namespace, *, token: str | None, has_page: bool
) -> None:
    """Until Ctrl-C or SIGTERM; then the workers stop at their next step."""
    from wan.serve.desk import Desk
    from wan.serve.running import run_service

    desk = Desk(settings, say=logging.getLogger("wan").info)
    port = listening.getsockname()[1]
    loopback = is_loopback(args.host)
    print(f"serving {', '.join(desk.models())} on {_address(args.host, port)}", flush=True)
    print(f"videos and queue: {desk.settings.folder}; stop with Ctrl-C, and the same command goes on", flush=True)
    run_service(
        desk,
        listening,
        token=token,
        hosts=[*args.allow_host, args.host] if loopback or args.allow_host else None,
        has_page=has_page,
    )


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
