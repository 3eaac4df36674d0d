"""What an action is known by: the messages of the Remote Execution API that name it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lamina.build import depfile, memo
from lamina.build.sandbox import ENVIRONMENT, WORK
from lamina.core.action import Action, Literal
from lamina.core.classes import dataclass, replace
from lamina.core.digest import Digest
from lamina.core.tree import Tree
from lamina.formats import reapi
from lamina.store import trees

_FOLDER = WORK.strip("/")


@dataclass(frozen=True, slots=True)
class Described:
    """An action on some inputs as messages: its digest, and all of its blobs but files."""

    digest: Digest
    blobs: Mapping[Digest, bytes]


def described(
    action: Action,
    tree: Tree,
    names: memo.Key = b"",
    *,
    platform: Iterable[tuple[str, str]] = (),
    run: reapi.Execution | None = None,
) -> Described:
    """An action on some inputs as a build farm knows it; where they are not all, `names` of all.

    It works in a folder called as that of the sandbox: of workers that show an action nothing but
    its inputs and the system, both see the same paths, and its inputs may be called `lib`.
    """
    root, directories = trees.encode(tree)
    top = reapi.encode_directory({_FOLDER: root})
    command, message = reapi.encode_action(
        _named(action, names),
        Digest.of(top),
        ENVIRONMENT.items(),
        folder=_FOLDER,
        platform=platform,
        run=run,
    )
    blobs = {Digest.of(data): data for data in (*directories, top, command, message)}
    return Described(Digest.of(message), blobs)


def digest(action: Action, tree: Tree, names: memo.Key = b"") -> Digest:
    """What an action is known by in the action cache of this machine."""
    root, _ = trees.encode(tree)
    return Digest.of(reapi.encode_action(_named(action, names), root, ENVIRONMENT.items())[1])


def _named(action: Action, names: memo.Key) -> Action:
    """An action on inputs that are not all, with the names of all.

    Without these, `__has_include` of a header that was not there would be taken for one that is.
    """
    return replace(action, toolchain=f"{action.toolchain} {names.hex()}") if names else action


def told(action: Action, inputs: Tree, text: str, *, anywhere: bool = False) -> tuple[str, ...]:
    """The inputs that count, by the depfile of an action; `anywhere` is that of `depfile.used`."""
    # What analysis wrote down, such as a file of arguments, no compiler tells of.
    silent = {path for path, artifact in action.inputs if isinstance(artifact, Literal)}
    for path in action.untold:
        silent |= {inner for inner in inputs if inner == path or inner.startswith(f"{path}/")}
    return tuple(sorted(silent.union(depfile.used(text, inputs, anywhere=anywhere))))
