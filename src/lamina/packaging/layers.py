"""Layers: one squashfs image behind a XAR header for each target's own files.

Making a layer is an action like any other: it is cached, and the same files give the same bytes
on any machine at any time. Times are fixed, owners are root, entries are sorted, modes are reduced
to executable or not; the header comes from the digest of the tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

# A layer of a base image: owners, modes and times are those of the image.
_BASE_SCRIPT = rf"""unset {squashfs.EPOCH}
mksquashfs - out/layer.xar -tar {" ".join(squashfs.FROM_TAR)} -offset 4096 \
  < layer.tar > out/log || {{ cat out/log >&2; exit 1; }}
rm out/log
dd if=header of=out/layer.xar conv=notrunc status=none
"""


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """The run-time files that one target itself adds, at their path in the package root."""

    label: str
    tree: Tree
    launcher: str = ""  # what a XAR of it starts; empty for libraries


def identity(versions: ToolVersions) -> str:
    """What makes a mksquashfs the same as another: it is part of a layer action's digest."""
    tool = process.require("mksquashfs")
    return versions.first_line(tool, "-version", ok=(0, 1))


def action(own: OwnFiles, toolchain: str) -> Action:
    """The action that makes the layer of a target; its output is `layer.xar`."""
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


def base_action(label: str, tar: Digest, toolchain: str) -> Action:
    """The action that makes a layer of a base image, of the archive that it was made into."""
    return Action(
        mnemonic="BaseLayer",
        owner=label,
        arguments=("/bin/sh", "-ec", _BASE_SCRIPT),
        inputs=(("header", Literal(_header(tar, ""))), ("layer.tar", Stored(File(tar)))),
        outputs=(OUTPUT,),
        toolchain=toolchain,
        subject=f"{label} {tar.short}",
    )


def base_layer(label: str, tar: Digest, image: Node) -> Layer:
    """What a package says of a finished layer of a base image; its archive stands for its tree."""
    assert isinstance(image, File)
    return Layer(label=label, tree=tar, blob=image.digest, content_size=tar.size)


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
        released = all(fault.startswith("`site-packages/") for fault in faults)
        raise UserError(
            "two targets of one package write the same path:\n" + "\n".join(sorted(faults)),
            hint="leave it out of one of them, by `exclude`"
            if released
            else "give one of them another `base_module`, `soname` or file name",
        )


def _crossings(owners: Mapping[str, tuple[Node, str]]) -> list[str]:
    return [
        f"`{file}` is a file of `{owners[file][1]}` and a folder of `{owners[inner][1]}`"
        for file, inner in conflicts(owners)
        if not isinstance(owners[file][0], Folder)
    ]
