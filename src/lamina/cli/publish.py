"""Puts what was built where a person looks for it: below `lamina-out/` in the workspace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli.session import write_file
from lamina.core.errors import UserError
from lamina.core.tree import File, Node, Symlink
from lamina.linux import filesystem

if TYPE_CHECKING:
    from lamina.cli.session import Session

FOLDER = "lamina-out"


def publish(session: Session, tree: Mapping[str, Node]) -> None:
    """Write each file of a tree below `lamina-out/`, unless it lies there already.

    They are copies (sharing blocks where the file system can): whoever changes one does not
    change the store. Raises UserError where something else is in the way.
    """
    memory = session.state / "outputs.json"
    known = _load(memory)
    for path, node in tree.items():
        target = session.root / FOLDER / path
        if known.get(path) == _mark(node, target):
            continue
        try:
            _write(session, node, target)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise UserError(
                f"`{error.filename}` is in the way of an output",
                hint=f"remove it, or all of `{FOLDER}` by `lamina clean`",
            ) from error
        known[path] = _mark(node, target)
    filesystem.write_atomic(memory, json.dumps(known).encode())


def replace_folder(session: Session, folder: str, tree: Mapping[str, Node]) -> None:
    """The same for a whole folder, in which nothing else may stay."""
    root = session.root / FOLDER / folder
    wanted = {root / path for path in tree}
    for path in list(root.rglob("*")) if root.is_dir() else []:
        if path not in wanted and (path.is_symlink() or not path.is_dir()):
            path.unlink()
    publish(session, {f"{folder}/{path}": node for path, node in tree.items()})


def _write(session: Session, node: Node, target: Path) -> None:
    if isinstance(node, File):
        source = session.store.path(node.digest)
        write_file(source, target, executable=node.executable)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(node, Symlink):
        target.unlink(missing_ok=True)
        target.symlink_to(node.target)
    else:
        target.mkdir(exist_ok=True)


def _mark(node: Node, target: Path) -> list[object]:
    """What a written output is known by: its content, and what stat() says of it."""
    try:
        status = target.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [str(node), status.st_size, status.st_mtime_ns, status.st_ino]


def _load(memory: Path) -> dict[str, list[object]]:
    try:
        return dict(json.loads(memory.read_bytes()))
    except (FileNotFoundError, ValueError):
        return {}
