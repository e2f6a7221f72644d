"""Download the checkpoint of a task from Hugging Face or ModelScope, resuming what was begun, and check it.

    python tools/download_model_weights.py --task t2v-A14B --dry_run
    python tools/download_model_weights.py --task t2v-A14B --output_dir ./Wan2.2-T2V-A14B

Only what the task needs is fetched. Exit codes: 0 downloaded and healthy; 2 for what cannot be done (one sentence) or a
checkpoint with problems; 1 for everything else that fails, such as the network.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from doctor import print_diagnosis
from wan.configs import WAN_CONFIGS
from wan.errors import InvalidInput, WanError
from wan.loading.doctor import diagnose, format_bytes, free_bytes
from wan.loading.download import DOWNLOAD_DIR, LAYOUT_NAMES, Download, check_disk, fetch, plan_download, repository_for
from wan.loading.download_hubs import HUBS

TASKS = sorted(name for name, config in WAN_CONFIGS.items() if config.repositories)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"download_model_weights: {message}", file=sys.stderr)
        raise SystemExit(2)


def main(argv: Sequence[str]) -> int:
    """Exit codes: see above."""
    given = _parse(argv)
    try:
        return _download(given)
    except InvalidInput as error:
        print(f"download_model_weights: {error}", file=sys.stderr)
        return 2
    except (WanError, OSError) as error:
        print(f"download_model_weights: failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("download_model_weights: interrupted; the same command resumes", file=sys.stderr)
        return 1


def _download(given: argparse.Namespace) -> int:
    config = WAN_CONFIGS[given.task]
    folder = given.output_dir or DOWNLOAD_DIR / repository_for(config, given.layout).split("/")[1]
    hub = HUBS[given.source]()
    download = plan_download(hub, config, given.layout, folder, revision=given.revision)
    _print_plan(download)
    check_disk(download)
    if given.dry_run:
        return 0
    fetch(hub, download)
    diagnosis = diagnose(folder, config)
    print_diagnosis(diagnosis)
    return 2 if diagnosis.problems else 0


def _print_plan(download: Download) -> None:
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


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, required=True, help="what the checkpoint is for")
    parser.add_argument("--source", choices=sorted(HUBS), default="huggingface", help="default: %(default)s")
    parser.add_argument("--layout", choices=LAYOUT_NAMES, default="official", help="default: %(default)s")
    parser.add_argument("--output_dir", type=Path, help="default: checkpoints/NAME, NAME as published")
    parser.add_argument("--revision", help="branch, tag or commit (default: the newest)")
    parser.add_argument("--dry_run", action="store_true", help="print what would be fetched, with sizes, and stop")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
