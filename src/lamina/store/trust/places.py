"""Where policies lie. Asked before each start of a package, so nothing dear is imported here."""

from __future__ import annotations

import os
from collections.abc import Mapping

from lamina.core.errors import UserError

WORKSPACE_FILE = "lamina.toml"
VARIABLE = "LAMINA_POLICY"
SYSTEM = "/etc/lamina/policy.toml"


class Place:
    """A file with a policy."""

    __slots__ = ("data", "path")

    def __init__(self, path: str, data: bytes) -> None:
        """Its path, and what was read there."""
        self.path = path
        self.data = data


def in_force() -> list[Place]:
    """The policies for this process, by its folder and environment; raises what `find` raises."""
    try:
        folder = os.getcwd()  # noqa: PTH109 - dear
    except FileNotFoundError:
        folder = "/"  # it was removed; there is no workspace around it
    return find(folder, os.environ)


def find(folder: str, words: Mapping[str, str]) -> list[Place]:
    """The policies in force in a folder: the machine's, and that of the workspace around.

    A package must comply with both: so no workspace can allow what the machine forbids. `words` is
    the environment. Raises UserError for a file that is there, or should be, and cannot be read.
    """
    workspace = _above(folder)
    if workspace is not None and b"trust" not in workspace.data:
        workspace = None
    return [each for each in (_of_the_machine(words), workspace) if each is not None]


def _of_the_machine(words: Mapping[str, str]) -> Place | None:
    if named := words.get(VARIABLE):
        found = _read(named)
        if found is None:
            raise UserError(
                f"there is no file `{named}`, which `{VARIABLE}` names",
                hint="without the policy no package is run; unset the variable to have none",
            )
        return found
    home = words.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 - dear
    return _read(f"{home}/lamina/policy.toml") or _read(SYSTEM)


def _above(folder: str) -> Place | None:
    while True:
        found = _read(f"{folder.rstrip('/')}/{WORKSPACE_FILE}")
        above = os.path.dirname(folder)  # noqa: PTH120 - as above
        if found is not None or above == folder:
            return found
        folder = above


def _read(path: str) -> Place | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            return Place(path, file.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        # A folder that this user may not enter, such as one further up, has nothing for them.
        if isinstance(error, PermissionError) and not os.path.exists(path):  # noqa: PTH110
            return None
        raise UserError(f"cannot read the policy `{path}`: {error.strerror}") from error
