"""What is not the same between two actions that a build farm keeps, by their digests alone.

So two machines can be compared: the one that has made a result, and the one that did not find it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lamina.build.history.details import Execution
from lamina.build.history.reasons import Change, changes
from lamina.build.sandbox import WORK
from lamina.core.digest import Digest
from lamina.core.tree import File, Symlink
from lamina.formats import reapi

Read = Callable[[Digest], bytes]

# What an action that tells what it read has behind its toolchain: a hash of its command and of the
# names of all that it could have read.
_NAMES = re.compile(r"(.*) ([0-9a-f]{64})", re.DOTALL)


def compare(before: Digest, after: Digest, read: Read) -> list[Change]:
    """The differences; `read` gives blobs of the farm, and raises what it likes where it cannot."""
    old, new = (reapi.decode_action(read(each)) for each in (before, after))
    inputs: tuple[dict[str, str], dict[str, str]] = ({}, {})
    _walk(old.input_root, new.input_root, "", read, inputs)
    first, second = (
        _execution(action, read, found) for action, found in zip((old, new), inputs, strict=True)
    )
    found = list(changes(first, second))
    if not found and old.salt != new.salt:
        was, now = (_NAMES.fullmatch(each.salt) for each in (old, new))
        names = "names of inputs that it could have read, and did not"
        found.append(Change("setting", names, was and was[2][:12], now and now[2][:12]))
    return found


def _execution(action: reapi.Decoded, read: Read, inputs: dict[str, str]) -> Execution:
    command = reapi.decode_command(read(action.command))
    match = _NAMES.fullmatch(action.salt)
    settings = [f"platform {name}={value}" for name, value in action.platform]
    settings += [f"timeout={action.timeout:g}"] if action.timeout else []
    return Execution(
        build=0,
        state="ran",
        owner="",
        mnemonic="",
        subject="",
        outputs=command.outputs,
        arguments=command.arguments,
        environment=tuple(f"{name}={value}" for name, value in command.environment),
        toolchain=match[1] if match else action.salt,
        settings=tuple(settings),
        inputs=inputs,
    )


def _walk(
    old: Digest | None,
    new: Digest | None,
    prefix: str,
    read: Read,
    found: tuple[dict[str, str], dict[str, str]],
) -> None:
    """Put down the inputs that are not the same; folders that are the same are passed by."""
    if old == new:
        return
    levels = [reapi.decode_directory(read(each)) if each else {} for each in (old, new)]
    for name in sorted({*levels[0], *levels[1]}):
        nodes = [level.get(name) for level in levels]
        if nodes[0] == nodes[1]:
            continue
        path = f"{prefix}{name}"
        below, above = (node if isinstance(node, Digest) else None for node in nodes)
        _walk(below, above, f"{path}/", read, found)
        for node, side in zip(nodes, found, strict=True):
            if node is not None and not isinstance(node, Digest):
                side[path.removeprefix(f"{WORK.strip('/')}/")] = _mark(node)


def _mark(node: File | Symlink) -> str:
    if isinstance(node, File):
        return f"{node.digest.short}{' executable' * node.executable}"
    return f"-> {node.target}"
