"""``python -m tests.assault``: everything that is promised about broken inputs, kills and full disks, tried.

Prints progress, then one table; ends with 1 and every failure by name when anything failed.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.assault.document import DOCUMENTS, update_document
from tests.assault.parts import PARTS
from tests.assault.trials import Outcome, as_table, run_part, say


def main(argv: Sequence[str]) -> int:
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="python -m tests.assault", description=__doc__)
    parser.add_argument("--only", choices=names, action="append", help="run one part; several times for several")
    parser.add_argument("--match", action="append", default=[], help="run the trials with this word in their names")
    parser.add_argument("--sample", action="store_true", help="the few trials that continuous integration runs")
    parser.add_argument("--folder", type=Path, help="work in this new folder and keep it; default: a temporary one")
    parser.add_argument("--update_docs", action="store_true", help="write the table into docs/reliability.md")
    args = parser.parse_args(argv)
    if args.update_docs and (args.only or args.sample or args.match):
        parser.error("--update_docs writes the table of the whole assault; leave out --only, --match and --sample")
    start = time.monotonic()
    if args.folder:
        if args.folder.exists():
            parser.error(f"--folder {args.folder} exists; give a new one")
        args.folder.mkdir(parents=True)
        outcomes = _run(args.only or names, args.folder.absolute(), sample=args.sample, match=args.match)
    else:
        with tempfile.TemporaryDirectory(prefix="assault-") as folder:
            outcomes = _run(args.only or names, Path(folder), sample=args.sample, match=args.match)
    table, minutes = as_table(outcomes), (time.monotonic() - start) / 60
    print(f"\n{table}\n\n{minutes:.1f} minutes")
    if args.update_docs:
        for document in DOCUMENTS:
            update_document(table, minutes=minutes, document=document)
    failures = [f"{one.part.name}: {name}: {fault}" for one in outcomes for name, fault in one.faults.items()]
    print("\n".join(["", f"{len(failures)} failed:", *failures]) if failures else "nothing failed")
    return 1 if failures else 0


def _run(names: Sequence[str], folder: Path, *, sample: bool, match: Sequence[str]) -> list[Outcome]:
    outcomes = []
    for part in PARTS:
        if part.name in names:
            say(f"{part.name} ...")
            outcomes.append(run_part(part, folder / part.name, sample=sample, say=say, match=match))
            say(f"{part.name}: {outcomes[-1].passed} of {outcomes[-1].tried} passed, {outcomes[-1].seconds:.0f} s")
    return outcomes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
