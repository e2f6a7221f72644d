"""Generate a video from the command line: parse -> plan -> generate -> save (see --help)."""

import sys
from collections.abc import Sequence

from wan.errors import InvalidInput, WanError
from wan.loading.layouts import find_checkpoint_dir, open_checkpoint
from wan.loading.vocabulary import read_vocabulary
from wan.options import Options, parse_options
from wan.sampling.policies import make_plan
from wan.sampling.price import DenoiserSize, price
from wan.sampling.table import format_plan, format_price


def main(argv: Sequence[str]) -> int:
    """Exit codes: 0, 2 for what a user asked for and cannot have, 1 for everything else that fails."""
    try:
        options = parse_options(argv)
        if options.list_vocabulary:
            list_vocabulary(options)
        elif options.dry_run:
            dry_run(options)
        else:
            generate(options)
    except InvalidInput as error:
        print(f"generate.py: {error}", file=sys.stderr)
        return 2
    except (WanError, OSError) as error:
        print(f"generate.py: failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("generate.py: interrupted; what was computed is in the run folder", file=sys.stderr)
        return 1
    return 0


def generate(options: Options) -> None:
    # imported here: torch, diffusers and transformers take seconds that --help and --dry_run need not wait for
    from wan.workflow import run

    run(options, argv=sys.argv, report=(lambda line: None) if options.quiet else print)


def dry_run(options: Options) -> None:
    """Print the plan and its price; no weight is loaded, not even torch is imported."""
    plan = make_plan(options.settings, options.geometry)
    for line in (*options.notices, *plan.notices, format_plan(plan)):
        print(line)
    print(format_price(price(plan, _denoiser_size(options))))


def list_vocabulary(options: Options) -> None:
    print(" ".join(read_vocabulary(find_checkpoint_dir(options.config, options.ckpt_dir))))


def _denoiser_size(options: Options) -> DenoiserSize:
    config = options.config
    if options.ckpt_dir or config.bundled_checkpoint:
        return open_checkpoint(config, find_checkpoint_dir(config, options.ckpt_dir)).denoiser_size
    return DenoiserSize(dim=config.dim, ffn_dim=config.ffn_dim, num_layers=config.num_layers, text_len=config.text_len)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
