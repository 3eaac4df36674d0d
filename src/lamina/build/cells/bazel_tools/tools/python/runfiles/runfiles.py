"""Another name of `rules_python.python.runfiles.runfiles`."""

from rules_python.python.runfiles.runfiles import Create, CreateDirectoryBased, Runfiles

__all__ = ["Create", "CreateDirectoryBased", "Runfiles"]
