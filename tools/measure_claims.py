"""Measure every claim of the seeds' documents on the demo model and write the table of docs/experiments.md.

    python tools/measure_claims.py                   measure, print the table, write claims/
    python tools/measure_claims.py --update_docs     also rewrite the tables in docs/ and the figures in docs/images/

By default two held-out prompts for each motion of the demo model, with two seeds: 36 cases, each with every method.
"""

import sys
from collections.abc import Sequence
from typing import Any

from claims.docs import markdown_table, method_table, write_figures
from claims.documents import update_document
from claims.rows import Row, claim_rows
from claims.run import Measurements, claim_sides, measure_cases
from demo_model.words import held_out_by_motion
from wan.analysis.comparison import finite, summarise
from wan.analysis.plots import require_plotting
from wan.configs import PROJECT_DIR
from wan.errors import InvalidInput
from wan.instruments.flags import (
    DEMO_TASK,
    add_output_flags,
    add_request_flags,
    cases_from,
    make_options,
    parse_flags,
    run_tool,
    tool_parser,
)
from wan.loading.layouts import find_checkpoint_dir, open_checkpoint
from wan.options import Parser, add_machine_flags
from wan.runs import checkpoint_identity, environment_versions, write_json_atomic, write_text_atomic
from wan.runs.results import claim_directory
from wan.session import Session

NAME = "measure_claims.py"
DOCUMENTS = (PROJECT_DIR / "docs" / "experiments.md", PROJECT_DIR / "docs" / "experiments.zh.md")
IMAGES = PROJECT_DIR / "docs" / "images"
PROMPTS_PER_MOTION, DEFAULT_SEEDS = 2, [0, 1]
MIN_CASES = 16


def main(argv: Sequence[str]) -> None:
    args = parse_flags(build_parser(), argv)
    require_plotting()
    if args.task == DEMO_TASK and not args.prompt and not args.prompt_file:
        args.prompt = [combination.caption() for combination in held_out_by_motion(PROMPTS_PER_MOTION)]
    cases = cases_from(args)
    if args.update_docs and len(cases) < MIN_CASES:
        raise InvalidInput(f"--update_docs with {len(cases)} cases: a table needs at least {MIN_CASES} prompts x seeds")
    options = make_options(args, prompt=cases[0].prompt)
    checkpoint = open_checkpoint(options.config, find_checkpoint_dir(options.config, options.ckpt_dir))
    sides = claim_sides(options, checkpoint)
    directory = claim_directory(options.output_dir, flag="--output_dir", overwrite=options.overwrite)
    print(f"{len(cases)} cases x {len(sides)} runs into {directory}")
    session = Session(options, show_progress=False)
    session.warm_up((side.plan for side in sides), prompt=cases[0].prompt)
    found = measure_cases(sides, cases, session, checkpoint, print)
    rows = claim_rows(found)
    provenance = {
        "checkpoint": checkpoint_identity(checkpoint.path)["id"],
        "versions": environment_versions(str(session.pipeline.device)),
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
    add_request_flags(parser.add_argument_group("what to generate"))
    parser.set_defaults(seed=DEFAULT_SEEDS)
    parser.add_argument("--sample_steps", type=int, help="default: the task's")
    add_machine_flags(parser.add_argument_group("machine"))
    add_output_flags(parser.add_argument_group("output"), output_dir="claims")
    return parser


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
