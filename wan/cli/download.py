"""``wan download``: the checkpoint of a task from Hugging Face or ModelScope, resumed, and checked."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wan.cli.doctor import print_diagnosis
from wan.commands import command_line
from wan.configs import WAN_CONFIGS
from wan.flags import Parser, make_parser
from wan.loading.download_hubs import HUBS
from wan.loading.layouts import LAYOUTS
from wan.runs.writable import refuse_unwritable_folder
from wan.texts import path_text

if TYPE_CHECKING:
    from wan.loading.download import Download

TASKS = sorted(name for name, config in WAN_CONFIGS.items() if config.repositories)
DESCRIPTION = f"""\
Download the checkpoint of a task from Hugging Face or ModelScope, resuming what was begun, and check it.

    {command_line("download")} --task t2v-A14B --dry_run
    {command_line("download")} --task t2v-A14B --output_dir ./Wan2.2-T2V-A14B

Only what the task needs is fetched. Exit codes: 0 downloaded and healthy; 2 for what cannot be done (one sentence) or a
checkpoint with problems; 1 for everything else that fails, such as the network.
"""


def main(argv: Sequence[str]) -> int:
    """Exit codes: see above."""
    given = build_parser().parse_args(argv)
    # imported here: torch and the model libraries take seconds that --help need not wait for
    from wan.loading.doctor import diagnose
    from wan.loading.download import DOWNLOAD_DIR, check_disk, fetch, plan_download, repository_for

    config = WAN_CONFIGS[given.task]
    folder = given.output_dir or DOWNLOAD_DIR / repository_for(config, given.layout).split("/")[1]
    hub = HUBS[given.source]()
    refuse_unwritable_folder(folder, flag="--output_dir")
    download = plan_download(hub, config, given.layout, folder, revision=given.revision)
    _print_plan(download)
    check_disk(download)
    if given.dry_run:
        return 0
    fetch(hub, download)
    diagnosis = diagnose(folder, config)
    print_diagnosis(diagnosis)
    return 2 if diagnosis.problems else 0


def _print_plan(download: "Download") -> None:
    from wan.loading.doctor import format_bytes, free_bytes

    snapshot = download.snapshot
    print(f"{snapshot.repository} at {snapshot.revision} -> {download.folder}")
    for file in download.wanted:
        note = "  (replaces a damaged copy)" if file.name in download.broken else ""
        print(f"  fetch {format_bytes(file.size):>10}  {file.name}{note}")
    for file in download.present:
        print(f"  have  {format_bytes(file.size):>10}  {file.name}")
    print(
        f"{len(download.wanted)} files to fetch, {format_bytes(download.wanted_bytes)}; "
        f"{format_bytes(free_bytes(download.folder))} free on the disk"
    )


def build_parser() -> Parser:
    parser = make_parser("download", DESCRIPTION)
    parser.add_argument("--task", choices=TASKS, required=True, help="what the checkpoint is for")
    parser.add_argument("--source", choices=sorted(HUBS), default="huggingface", help="default: %(default)s")
    layouts = sorted(layout.name for layout in LAYOUTS)
    parser.add_argument("--layout", choices=layouts, default="official", help="default: %(default)s")
    parser.add_argument("--output_dir", type=Path, help="default: checkpoints/NAME, NAME as published")
    parser.add_argument("--revision", type=path_text, help="branch, tag or commit (default: the newest)")
    parser.add_argument("--dry_run", action="store_true", help="print what would be fetched, with sizes, and stop")
    return parser
