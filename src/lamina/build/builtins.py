"""Actions that lamina itself does: what needs the network, or writes straight into the store.

Their arguments are no command, but what they work by. They are looked up, remembered and told of
like all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lamina.build.sandbox import Cancelled
from lamina.core.action import Action, ActionResult
from lamina.core.errors import LaminaError
from lamina.core.tree import File, Node, Tree
from lamina.store.local import LocalStore

if TYPE_CHECKING:
    from lamina.store.download import Downloader, Wanted

DOWNLOAD = "download"


class BuiltinFailed(LaminaError):
    """Work of lamina's own came to nothing; the exit code is that of the fault behind it."""


class Builtins:
    """Does such actions, several at once in as many threads."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._downloader: Downloader | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """End all that is being done, and let none start."""
        self._cancelled = True
        if self._downloader is not None:
            self._downloader.cancel()

    def run(self, action: Action, tree: Tree) -> ActionResult:
        """Do one action; raises BuiltinFailed."""
        if self._cancelled:
            raise Cancelled
        try:
            made = _WORK[action.builtin](self, action, tree)
        except LaminaError as error:
            failure = BuiltinFailed(error.message, hint=error.hint)
            failure.exit_code = error.exit_code
            raise failure from error
        return ActionResult(tuple(sorted(made.items())))

    def _download(self, action: Action, _tree: Tree) -> Mapping[str, Node]:
        from lamina.store.download import Downloader, Ended

        if self._downloader is None:
            self._downloader = Downloader(self._store)
        try:
            digest = self._downloader.fetch(_wanted(action))
        except Ended:
            raise Cancelled from None
        return {action.outputs[0]: File(digest, action.arguments[1] == "executable")}


_WORK = {DOWNLOAD: Builtins._download}


def download(owner: str, wanted: Wanted, output: str, *, executable: bool = False) -> Action:
    """The action that fetches a file, for the target `owner`, to a path below `out`."""
    return Action(
        "Download",
        owner,
        (
            DOWNLOAD,
            "executable" if executable else "plain",
            wanted.sha256,
            "" if wanted.size is None else str(wanted.size),
            *wanted.urls,
        ),
        (),
        (output,),
        subject=output,
        builtin=DOWNLOAD,
    )


def _wanted(action: Action) -> Wanted:
    from lamina.store.download import Wanted

    _, _, sha256, size, *urls = action.arguments
    return Wanted(tuple(urls), sha256, int(size) if size else None)
