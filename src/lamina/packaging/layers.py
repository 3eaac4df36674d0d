"""Layers: one squashfs image behind a XAR header for the own files of a target, or of several.

Making a layer is an action like any other: it is cached, and the same files give the same bytes
on any machine at any time. Times are fixed, owners are root, entries are sorted, modes are reduced
to executable or not; the header comes from the digest of the tree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lamina.core.action import Action, Literal, Stored
from lamina.core.digest import Digest
from lamina.core.errors import UserError
from lamina.core.manifest import Layer
from lamina.core.tree import File, Folder, Node, Symlink, Tree, conflicts, content_size
from lamina.formats import squashfs, xar
from lamina.linux import process
from lamina.linux.versions import ToolVersions
from lamina.store import trees

OUTPUT = "layer.xar"

# The owner, times and modes are set here, not where the files were staged: a build farm may stage
# them otherwise.
_SCRIPT = rf"""unset {squashfs.EPOCH}
mksquashfs root out/layer.xar {" ".join(squashfs.MKSQUASHFS)} -offset 4096 \
  -action 'chmod(755)@type(f)&&perm(/u+x)' \
  -action 'chmod(644)@type(f)&&!perm(/u+x)' \
  -action 'chmod(755)@type(d)' > out/log || {{ cat out/log >&2; exit 1; }}
rm out/log
dd if=header of=out/layer.xar conv=notrunc status=none
"""


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """The run-time files that one target itself adds, at their path in the package root.

    Those of several targets are joined to be one layer.
    """

    label: str  # of several targets, the top one's
    tree: Tree
    launcher: str = ""  # what a XAR of it starts; empty for libraries
    labels: tuple[str, ...] = ()  # of all targets, bottom first; empty for one


def grouped(parts: Sequence[OwnFiles], layout: Iterable[Collection[str]]) -> list[OwnFiles]:
    """One for each group of labels, the lowest first; what is in no group stays alone.

    A group lies where its lowest target lay. Any order is right: own files of two targets are at
    different paths, or the same (`check`), so no layer hides anything of another.
    """
    group_of = {label: number for number, group in enumerate(layout) for label in group}
    found: dict[object, list[OwnFiles]] = {}
    for own in parts:
        found.setdefault(group_of.get(own.label, own.label), []).append(own)
    return [_joined(group) for group in found.values()]


def _joined(parts: Sequence[OwnFiles]) -> OwnFiles:
    """The own files of some targets, lowest first, as one."""
    if len(parts) == 1:
        return parts[0]
    tree = {path: node for own in parts for path, node in own.tree.items()}
    parents = {parent for path in tree for parent in _above(path)}
    kept = {path: node for path, node in sorted(tree.items()) if path not in parents}
    top = parts[-1]
    # A layer that holds two programs starts the upper one: it is nearer to what is packaged.
    launcher = next((own.launcher for own in reversed(parts) if own.launcher), "")
    return OwnFiles(top.label, kept, launcher, tuple(own.label for own in parts))


def _above(path: str) -> Iterator[str]:
    """The folders that a path lies in: an empty one of another target is none any more."""
    while path := path.rpartition("/")[0]:
        yield path


def identity(versions: ToolVersions) -> str:
    """What makes a mksquashfs the same as another: it is part of a layer action's digest."""
    tool = process.require("mksquashfs")
    return versions.first_line(tool, "-version", ok=(0, 1))


def action(own: OwnFiles, toolchain: str) -> Action:
    """The action that makes the layer of a target or a group; its output is `layer.xar`."""
    tree, _ = trees.encode(own.tree)
    inputs = {f"root/{path}": Stored(node) for path, node in own.tree.items()}
    return Action(
        mnemonic="Layer",
        owner=own.label,
        arguments=("/bin/sh", "-ec", _SCRIPT),
        inputs=(("header", Literal(_header(tree, own.launcher))), *sorted(inputs.items())),
        outputs=(OUTPUT,),
        toolchain=toolchain,
        subject=own.label,
    )


def _header(tree: Digest, launcher: str) -> bytes:
    """The XAR header: all of it comes from the tree, so nothing but the files changes a layer."""
    # A library has nothing to start, but both parsers of XARs want a target. This one says so
    # in the error of whoever tries.
    target = launcher or "this-layer-is-a-library"
    return xar.encode(xar.Header(uuid=tree.hash, version=tree.short, target=target))


def layer(own: OwnFiles, image: Node) -> Layer:
    """What a package says of a finished layer."""
    assert isinstance(image, File)
    tree, _ = trees.encode(own.tree)
    return Layer(
        label=own.label,
        tree=tree,
        blob=image.digest,
        files=sum(isinstance(node, File | Symlink) for node in own.tree.values()),
        content_size=content_size(own.tree),
        labels=own.labels,
    )


def check(parts: Iterable[OwnFiles]) -> None:
    """Raise UserError where two targets write one path differently, naming both."""
    owners: dict[str, tuple[Node, str]] = {}
    faults: list[str] = []
    for own in parts:
        for path, node in own.tree.items():
            other = owners.setdefault(path, (node, own.label))
            if other[0] != node:
                faults.append(f"`{path}` comes from both `{other[1]}` and `{own.label}`")
    faults = [fault for fault in faults if "__pycache__/" not in fault] or faults
    faults += _crossings(owners)
    if faults:
        raise UserError(
            "two targets of one package write the same path:\n" + "\n".join(sorted(faults)),
            hint="give one of them another `base_module`, `soname` or file name",
        )


def _crossings(owners: Mapping[str, tuple[Node, str]]) -> list[str]:
    return [
        f"`{file}` is a file of `{owners[file][1]}` and a folder of `{owners[inner][1]}`"
        for file, inner in conflicts(owners)
        if not isinstance(owners[file][0], Folder)
    ]
