"""Finds the files in `data` of a program, by the name of their cell and their path in it.

Under `lamina test` the roots of all cells lie side by side in one folder, as under Bazel. Elsewhere
there is the package root alone, with the files of the workspace at their path, and those of other
cells below `external`.
"""

import os

# .../rules_python/python/runfiles/runfiles.py
_ROOT = os.path.abspath(__file__)
for _ in range(4):
    _ROOT = os.path.dirname(_ROOT)


class Runfiles:
    """The files of one program."""

    def __init__(self, folder=None):
        self._folder = folder

    @staticmethod
    def Create(env=None):
        """The files of the program that runs."""
        known = os.environ if env is None else env
        folder = known.get("RUNFILES_DIR") or known.get("TEST_SRCDIR")
        return Runfiles(folder if folder and os.path.isdir(folder) else None)

    def Rlocation(self, path, source_repo=None):
        """The absolute path of `cell/folder/file`; the workspace itself is called `_main`."""
        if not path:
            raise ValueError("there is no path")
        if not isinstance(path, str):
            raise TypeError("a path is text")
        parts = path.split("/")
        if ".." in parts or "." in parts or "" in parts[1:]:
            raise ValueError("this is not normal: " + repr(path))
        if os.path.isabs(path):
            return path
        if self._folder:
            return os.path.join(self._folder, *parts)
        other = os.path.join(_ROOT, "external", parts[0])
        base = other if os.path.isdir(other) else _ROOT
        return os.path.join(base, *parts[1:])

    def EnvVars(self):
        """What a program that this one starts needs to find the same files."""
        return {"RUNFILES_DIR": self._folder} if self._folder else {}

    def CurrentRepository(self, frame=1):
        """The name of the cell that the caller is in: "" is the workspace itself."""
        return ""


def Create(env=None):
    """The files of the program that runs."""
    return Runfiles.Create(env)


def CreateDirectoryBased(folder):
    """The files below a folder that holds the roots of cells."""
    return Runfiles(folder)
