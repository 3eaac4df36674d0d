"""Layers: one image of the own files of a target, or of several: a XAR, or EROFS.

Making a layer is an action like any other: it is cached, and the same files give the same bytes
on any machine at any time. Times are fixed, owners are root, entries are sorted, modes are reduced
to executable or not; the header comes from the digest of the tree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from lamina.core.action import Action, Literal, Stored
from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.errors import UserError
from lamina.core.manifest import EXTENSIONS, Layer
from lamina.core.tree import File, Folder, Node, Symlink, Tree, conflicts, content_size
from lamina.formats import erofs, squashfs, xar
from lamina.packaging import layerforms
from lamina.packaging.layerforms import DEFAULT, LayerForm
from lamina.store import trees

# The owner, times and modes are set here, not where the files were staged: a build farm may stage
# them otherwise.
_XAR = rf"""unset {squashfs.EPOCH}
mksquashfs root out/layer.xar "$@" -offset 4096 > out/log || {{ cat out/log >&2; exit 1; }}
rm out/log
dd if=header of=out/layer.xar conv=notrunc status=none
"""

_MODES = (
    "-action", "chmod(755)@type(f)&&perm(/u+x)",
    "-action", "chmod(644)@type(f)&&!perm(/u+x)",
    "-action", "chmod(755)@type(d)",
)  # fmt: skip
# A resident program makes layers of so much: all of it is handed over.
_LITTLE, _FEW = 1 << 18, 200  # bytes and files
_WORKER = "layer"

BASE_OUTPUT = "layer.xar"
# A layer of a base image: owners, modes and times are those of the image.
_BASE_SCRIPT = rf"""unset {squashfs.EPOCH}
mksquashfs - out/layer.xar -tar {" ".join(squashfs.FROM_TAR)} -offset 4096 \
  < layer.tar > out/log || {{ cat out/log >&2; exit 1; }}
rm out/log
dd if=header of=out/layer.xar conv=notrunc status=none
"""

# mkfs.erofs takes modes and hard links as they are, so that it is given copies.
_EROFS = """cp -R root out/root
chmod -R u=rwX,go=rX out/root
mkfs.erofs "$@" out/layer.erofs out/root > out/log 2>&1 || { cat out/log >&2; exit 1; }
rm -r out/log out/root
"""


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """The run-time files that one target itself adds, at their path in the package root.

    Those of several targets are joined to be one layer.
    """

    label: str  # of several targets, the top one's
    tree: Tree
    launcher: str = ""  # what a XAR of it starts; empty for libraries
    version: str = ""  # what a XAR says of itself; by default the tree
    trampolines: tuple[str, ...] = ()  # names by which a XAR starts something else
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
    return OwnFiles(top.label, kept, launcher, labels=tuple(own.label for own in parts))


def _above(path: str) -> Iterator[str]:
    """The folders that a path lies in: an empty one of another target is none any more."""
    while path := path.rpartition("/")[0]:
        yield path


def action(own: OwnFiles, toolchain: str, form: LayerForm = DEFAULT) -> Action:
    """The action that makes the layer of a target or a group; its one output is the layer."""
    tree, _ = trees.encode(own.tree)
    inputs = {f"root/{path}": Stored(node) for path, node in own.tree.items()}
    worker = ""
    if form.kind == layerforms.EROFS:
        script, header = _EROFS, {}
        options = erofs.options(tree.hash, form.compression, form.level, form.block_size)
    else:
        script, header = _XAR, {"header": Literal(_header(tree, own))}
        options = *squashfs.options(form.compression, form.level, form.block_size), *_MODES
        worker = _WORKER if _is_little(own.tree) else ""
    return Action(
        mnemonic="Layer",
        owner=own.label,
        arguments=("/bin/sh", "-ec", script, "layer", *options),
        inputs=(*header.items(), *sorted(inputs.items())),
        outputs=(f"layer.{EXTENSIONS[form.media_type]}",),
        toolchain=toolchain,
        subject=own.label,
        worker=worker,
    )


def _is_little(tree: Tree) -> bool:
    files = [node for node in tree.values() if isinstance(node, File)]
    size = sum(node.digest.size for node in files)
    return len(files) == len(tree) <= _FEW and size <= _LITTLE


def base_action(label: str, tar: Digest, toolchain: str) -> Action:
    """The action that makes a layer of a base image, of the archive that it was made into."""
    return Action(
        mnemonic="BaseLayer",
        owner=label,
        arguments=("/bin/sh", "-ec", _BASE_SCRIPT),
        inputs=(
            ("header", Literal(_header(tar, OwnFiles(label, {})))),
            ("layer.tar", Stored(File(tar))),
        ),
        outputs=(BASE_OUTPUT,),
        toolchain=toolchain,
        subject=f"{label} {tar.short}",
    )


def base_layer(label: str, tar: Digest, image: Node) -> Layer:
    """What a package says of a finished layer of a base image; its archive stands for its tree."""
    assert isinstance(image, File)
    return Layer(label=label, tree=tar, blob=image.digest, content_size=tar.size)


def _header(tree: Digest, own: OwnFiles) -> bytes:
    """The XAR header: all of it comes from the tree, so nothing but the files changes a layer."""
    # A library has nothing to start, but both parsers of XARs want a target. This one says so
    # in the error of whoever tries.
    target = own.launcher or "this-layer-is-a-library"
    version = own.version or tree.short
    return xar.encode(xar.Header(tree.hash, target, version, own.trampolines))


def layer(own: OwnFiles, image: Node, form: LayerForm = DEFAULT) -> Layer:
    """What a package says of a finished layer."""
    assert isinstance(image, File)
    tree, _ = trees.encode(own.tree)
    return Layer(
        label=own.label,
        tree=tree,
        blob=image.digest,
        media_type=form.media_type,
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
    crossings = _crossings(owners)
    faults += [
        f"`{file}` is a file of `{owner}` and a folder of `{other}`"
        for file, owner, other in crossings
    ]
    if faults:
        raise UserError(
            "two targets of one package write the same path:\n" + "\n".join(sorted(faults)),
            hint=_advice(faults, crossings),
        )


def _advice(faults: Collection[str], crossings: Collection[tuple[str, str, str]]) -> str:
    for file, owner, _ in crossings:
        if file == owner.rpartition(":")[2]:
            return (
                f"give `{owner}` another name: a program has its launcher at the top of the package"
            )
    if all(fault.startswith("`site-packages/") for fault in faults):
        return "leave it out of one of them, by `exclude`"
    return "give one of them another `base_module`, `soname` or file name"


def _crossings(owners: Mapping[str, tuple[Node, str]]) -> list[tuple[str, str, str]]:
    """Paths that are a file of one target and a folder of another, with both."""
    return [
        (file, owners[file][1], owners[inner][1])
        for file, inner in conflicts(owners)
        if not isinstance(owners[file][0], Folder)
    ]
