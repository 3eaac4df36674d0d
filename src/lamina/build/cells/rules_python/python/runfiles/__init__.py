"""Where the data of a program lies."""

from rules_python.python.runfiles import runfiles
from rules_python.python.runfiles.runfiles import Create, Runfiles

__all__ = ["Create", "Runfiles", "runfiles"]
