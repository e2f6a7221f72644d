"""``python -m wan``: the command ``wan`` without installing the package."""

import sys

from wan.cli.main import main

sys.exit(main(sys.argv[1:]))
