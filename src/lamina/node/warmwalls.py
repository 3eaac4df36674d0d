"""Runs a package in a container that is like the last one of the same package (`warm`).

Nothing dear is imported here, but where there is more to tell than an exit code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from lamina.core import variables
from lamina.core.errors import LaminaError
from lamina.core.places import OWN, ROOT
from lamina.linux import group, namespaces
from lamina.node import cell, supervise, walls, warm
from lamina.store import starts

TYPE_CHECKING = False  # `typing` is dear
if TYPE_CHECKING:
    from lamina.node.report import Report


def run(
    known: starts.Start, arguments: Sequence[str], told: Report | None, warn: Callable[[str], None]
) -> int | None:
    """The exit code of the program; None where not all is as it was.

    Raises OSError and LaminaError where it was not started, Failed for what came after that.
    """
    try:
        last = walls.decode(starts.Fields(known.walls))
    except (IndexError, ValueError):  # another lamina wrote it
        return None
    if cell.shelf() != last.shelf:
        return None
    running = _Running(known, last.again(os.urandom(6).hex()), arguments, told)
    try:
        return running.to_its_end(warn)
    except (OSError, LaminaError) as error:
        if running.began:
            raise warm.Failed(error) from error
        raise


class _Running:
    def __init__(
        self,
        known: starts.Start,
        own: walls.Walls,
        arguments: Sequence[str],
        told: Report | None,
    ) -> None:
        self.began = False
        self._known = known
        self._walls = own
        self._told = told
        self._arguments = arguments

    def to_its_end(self, warn: Callable[[str], None]) -> int | None:
        told = self._walls
        with cell.opened(told.id, told.candidates, self._group) as (bundle, own):
            if not self._attach(bundle):
                return None
            program = [*self._known.arguments, *self._arguments]
            pid = walls.begin(told, bundle, own, self._arguments, self._variables())
            self.began = True
            if self._told is not None:
                self._told.ready()
            walls.tell(told.record, told.id, bundle, own, pid, program)
            code = supervise.wait(pid, told.stop_timeout, walls.target(told.config, program))
            if own.out_of_memory() or (code and walls.complained(bundle)):
                from lamina.node import contain

                if contain.explain(code, told.command[0], bundle, own, warn) and self._told:
                    self._told.out_of_memory()
            return code

    def _group(self) -> group.Group:
        return group.make(self._walls.by, self._walls.settings)

    def _attach(self, bundle: str) -> bool:
        """Attach the root; whether that could be done as the last time."""
        mount = warm.mounted(self._known)
        if mount is None:
            return False
        places = {path: kind == walls.FOLDER for path, kind in self._walls.places}
        namespaces.show_root(f"{bundle}/{ROOT}", {self._known.title: mount}, OWN, places)
        for note in self._known.notes:
            os.utime(note)
        if self._told is not None:
            self._told.mounted()
        return True

    def _variables(self) -> dict[str, str]:
        inside = dict(text.partition("=")[::2] for text in self._known.variables)
        return inside | variables.chosen(self._walls.words, os.environ.items())
