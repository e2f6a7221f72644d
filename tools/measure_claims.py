"""Measure every claim of the founding documents on the demo model and write the table of docs/experiments.md.

    python tools/measure_claims.py                   measure, print the table, write claims/
    python tools/measure_claims.py --update_docs     also rewrite the tables in docs/ and the figures in docs/images/

By default two held-out prompts for each motion of the demo model, with two seeds: 36 cases, each with every method.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from door import run_tool, tool_parser
from claims.docs import markdown_table, method_table, write_figures
from claims.documents import update_document
from claims.row import Row
from claims.rows import claim_rows
from claims.run import Measurements, claim_methods, measure_cases
from claims.sample import MIN_CLIPS, sample_clips
from wan.analysis.comparison import finite, summarise
from wan.analysis.plots import require_plotting
from wan.commands import SOURCE_DIR
from wan.errors import InvalidInput
from wan.flags import Groups, Parser
from wan.instruments.flags import DEMO_TASK, Case, add_measuring_flags, cases_from, first_of_several, measured_job
from wan.job import Job, open_job_checkpoint
from wan.runs import checkpoint_identity, environment_versions, write_json_atomic, write_text_atomic
from wan.runs.folders import claim_directory
from wan.session import Session

NAME = "measure_claims.py"
DOCUMENTS = (SOURCE_DIR / "docs" / "experiments.md", SOURCE_DIR / "docs" / "experiments.zh.md")
IMAGES = SOURCE_DIR / "docs" / "images"


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    require_plotting()
    job = measured_job(args, **first_of_several(args))
    cases = _cases(args, job)
    if args.update_docs and len(cases) < MIN_CLIPS:
        raise InvalidInput(f"--update_docs with {len(cases)} cases: a table needs at least {MIN_CLIPS} prompts x seeds")
    checkpoint = open_job_checkpoint(job)
    methods = claim_methods(job, checkpoint.denoiser_size)
    directory = claim_directory(args.output_dir, flag="--output_dir", overwrite=args.overwrite)
    print(f"{len(cases)} cases x {len(methods)} runs into {directory}")
    session = Session(job, checkpoint=checkpoint, show_progress=False)
    session.warm_up((method.plan for method in methods), prompt=cases[0].prompt)
    found = measure_cases(methods, cases, session, print)
    rows = claim_rows(found)
    provenance = {
        "checkpoint": checkpoint_identity(checkpoint.path)["id"],
        "versions": environment_versions(str(session.device)),
        "cases": [{"prompt": case.prompt, "seed": case.seed} for case in cases],
    }
    tables = [f"{markdown_table(rows, language)}\n\n{method_table(found, language)}" for language in (0, 1)]
    write_json_atomic(directory / "claims.json", provenance | {"claims": _rows(rows), "methods": _methods(found)})
    write_figures(directory, found)
    for name, text in zip(("claims.md", "claims.zh.md"), tables, strict=True):
        write_text_atomic(directory / name, text + "\n")
    print(f"\n{tables[0]}\n\nresults: {directory}")
    if args.update_docs:
        write_figures(IMAGES, found)
        for document, text in zip(DOCUMENTS, tables, strict=True):
            update_document(document, text)
            print(f"updated {document}")


def build_parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("--update_docs", action="store_true", help="rewrite the tables in docs/ and docs/images/")
    groups = Groups(parser)
    add_measuring_flags(groups, output_dir="claims")
    parser.set_defaults(seeds=None)
    return parser


def _cases(args: argparse.Namespace, job: Job) -> list[Case]:
    """The sample of the documents, or what the flags ask for instead."""
    if job.config.name == DEMO_TASK and not (args.prompts or args.prompt_file or args.seeds):
        return [clip.case for clip in sample_clips()]
    return cases_from(args, job)


def _rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        {"claim": row.claim[0], "measured": row.measured[0], "verdict": row.verdict[0], "command": row.command}
        for row in rows
    ]


def _methods(found: Measurements) -> dict[str, Any]:
    return {
        name: {
            "summary": {
                k: finite({"mean": s.mean, "std": s.std, "worst": s.worst}) for k, s in summarise(results).items()
            },
            "cases": [result.as_dict() for result in results],
        }
        for name, results in found.results.items()
    }


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
