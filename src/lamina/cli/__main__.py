"""`python -m lamina.cli` is the command `lamina`."""

import sys

from lamina.cli.start import program

sys.exit(program())
