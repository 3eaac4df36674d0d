"""Another name of `rules_python.python.runfiles`."""

from rules_python.python.runfiles import Create, Runfiles, runfiles

__all__ = ["Create", "Runfiles", "runfiles"]
