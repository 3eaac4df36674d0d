"""`python -m lamina.cli` is the command `lamina`."""

import sys

from lamina.cli.main import program

sys.exit(program())
