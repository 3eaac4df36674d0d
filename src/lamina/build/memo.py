"""What actions gave, by a key that is cheap to make: found here, no file has to be looked at.

The digest of an action takes a Merkle tree of its inputs; the key here is one hash over the same
things, and only means something to this version of this program.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Sequence
from hashlib import sha256

from lamina.core.action import Action
from lamina.core.classes import dataclass, field
from lamina.core.tree import File, Node, Symlink, Tree

Key = bytes


@dataclass(slots=True)
class Memo:
    """Results and, for actions that tell what they read, the paths of what that was."""

    outputs: dict[Key, tuple[tuple[str, Node], ...]] = field(default_factory=dict)
    used: dict[Key, tuple[tuple[str, ...], ...]] = field(default_factory=dict)


def key(action: Action, tree: Tree, names: Key = b"") -> Key:
    """Names an action on these inputs, of all that its `names_key` tells of."""
    return _hash(action, [names.hex(), *((path, mark(tree[path])) for path in sorted(tree))])


def names_key(action: Action, paths: Iterable[str]) -> Key:
    """Names an action on inputs with these paths, whatever they hold."""
    return _hash(action, sorted(paths))


def mark(node: Node) -> str:
    """All that counts of a node."""
    if isinstance(node, File):
        return f"{node.digest.hash}{'x' * node.executable}"
    return f"->{node.target}" if isinstance(node, Symlink) else "/"


def _hash(action: Action, inputs: Sequence[str | tuple[str, str]]) -> Key:
    # Version 2 of the format neither shares nor interns: equal values give equal bytes.
    command = (
        action.arguments,
        action.outputs,
        action.environment,
        action.toolchain,
        action.mounts,
        action.depfile,
        action.timeout,
        action.network,
        action.builtin,
    )
    return sha256(marshal.dumps((command, list(inputs)), 2)).digest()
