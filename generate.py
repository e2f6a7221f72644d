"""The official command, the same as ``wan generate``: make a video from a prompt (see --help)."""

import sys

if __name__ == "__main__":
    from wan.cli.main import run

    sys.exit(run("generate", sys.argv[1:]))
