"""Layers as folders: what the kernel has in memory of them outlives a job's mounts.

    laid/<image>/root     the folder that an image shows: of a layer, or of several, merged

What is in memory of a mounted image goes with its last mount, so each start decompresses again
what it reads, and waits for a loop device or a process. The files of a folder stay there, and
overlayfs stacks folders as it stacks mounts. So where starts use a package with a large layer
again, all but its tiny images are laid out as folders once, beside them (`laying`), and later
starts stack these in place of the images.

An empty file in place of the folder tells that an image can not be laid out: because it has
something that files of the store can not be (`_unfit`), or because that has failed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.core.errors import HostError, IntegrityError, LaminaError, UserError
from lamina.formats.inodes import File, Folder, Node, Special
from lamina.linux import filesystem, rights, syscalls
from lamina.node import lay, mounts
from lamina.node.inside import Inside
from lamina.node.laying import AMONG, LEAST, VARIABLE, may_lie_on
from lamina.store import derived, verified
from lamina.store.local import LocalStore

_FORM = "lamina laid out 1"  # part of every name
_ROOT = "root"  # its owner can not always move a folder that is not to be written to
_SETUID = stat.S_ISUID | stat.S_ISGID

AUTO, ALWAYS, NEVER = "auto", "always", "never"


def way(variables: Mapping[str, str]) -> str:
    """What LAMINA_UNPACK says; raises UserError."""
    said = variables.get(VARIABLE) or AUTO
    if said not in (AUTO, ALWAYS, NEVER):
        raise UserError(
            f"`{VARIABLE}` is `{said}`", hint=f"one of `{AUTO}`, `{ALWAYS}` and `{NEVER}`"
        )
    return said


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that is worth being laid out, and was not found to be one that can not be."""

    image: Path
    place: Path  # where that would be seen


def stacked(image: Path, folder: Path) -> Path:
    """What is to be stacked for an image of a store: its folder if there is one, else itself."""
    if way(os.environ) == NEVER or not _counts(image, folder):
        return image
    found = _kept(image, folder)
    return found / _ROOT if found is not None and found.is_dir() else image


def mounted(images: Sequence[Path], driver: str | None, base: int = 0) -> list[Path]:
    """What a start mounts of layers, the first `base` of which are those of a base image.

    Runs of small ones are merged for that. Nothing where the driver, which `driver` may be, mounts
    no images. Raises UserError, and what merging raises.
    """
    from lamina.node import launch, parts, plan

    costs = plan.BY_DRIVER.get(launch.choose(driver))
    if costs is None:
        return []
    stacks = [stack for stack in (images[:base], images[base:]) if stack]
    return [path for stack in stacks for path in parts.images(plan.of(stack, costs), costs.most)]


def candidates(images: Iterable[Path], folder: Path) -> list[Candidate]:
    """Of what a start mounts of a package with a large layer, that which is worth being laid out.

    None where the environment wants none. An image whose folder has come meanwhile is among them:
    who still mounts the image has to know where that is.
    """
    if way(os.environ) == NEVER or not may_lie_on(os.fspath(folder)):
        return []
    return [
        Candidate(image, derived.place(derived.LAID, _name(image), folder))
        for image in dict.fromkeys(images)
        if _counts(image, folder) and not _is_unfit(image, folder)
    ]


def members(image: Path, folder: Path) -> list[str]:
    """The hashes of the blobs that an image of a store is, or was merged of."""
    if image.parent.parent == folder / derived.MERGED:
        return sorted(derived.members(_own(image), folder))
    return [_own(image)]


def note(path: Path, folder: Path) -> Path | None:
    """The note that tells when this folder was last used, if it is a layer's."""
    if path.name != _ROOT or path.parents[2] != folder / derived.LAID:
        return None
    return derived.note(path.parent.parent.name + path.parent.name, folder)


def lay_out(image: Path, folder: Path) -> Path:
    """Lay an image out, where that was not done; the folder, or a file where that can not be.

    Raises IntegrityError for a damaged one, and OSError where there is no room.
    """
    with contextlib.closing(LocalStore(folder)) as store:
        names, name = members(image, folder), _name(image)
        making = derived.making(derived.LAID, name, names, store, _of_itself)
        with making as made:
            if made is not None:
                _check(image, names, store)  # a damaged one may be here whole again
                try:
                    _make(image, made, store)
                except LaminaError:
                    filesystem.remove_tree(made)
                    made.touch()  # whoever mounts it says what is wrong with it
        return derived.place(derived.LAID, name, folder)


def lay_out_all(images: Sequence[Path], folder: Path, base: int = 0) -> int:
    """Lay out a package with a large layer, as `mounted` has it; how many folders are stacked then.

    Raises HostError where none can lie in the store.
    """
    if not may_lie_on(os.fspath(folder)):
        raise HostError(
            f"layers are not unpacked in `{folder}`: it lies on no disk of this machine, "
            "or a group shares it",
            hint="set LAMINA_STORE to a folder of your own on ext4, XFS, btrfs, F2FS or bcachefs",
        )
    if not any(mounts.size(image) >= LEAST for image in images):
        return 0
    found = dict.fromkeys(mounted(images, None, base))
    return sum(
        path.is_dir() or (_counts(path, folder) and lay_out(path, folder).is_dir())
        for path in found
    )


def size(inside: Inside) -> int:
    """The bytes of all files of a layer."""
    return sum({file.number: file.size for file in _files(inside.root)}.values())


def _counts(image: Path, folder: Path) -> bool:
    # An image of elsewhere is not known by its name; and what is a folder is none.
    # What is asked of each image of each start is asked of text.
    above = os.fspath(image)[: -len("/12/") - len(image.name)]
    if above == f"{folder}/{derived.MERGED}":
        return True  # many files that are each waited for
    return above == f"{folder}/blobs" and mounts.size(image) >= AMONG


def _own(image: Path) -> str:
    return image.parent.name + image.name


def _name(image: Path) -> str:
    return derived.key(_FORM, [_own(image)])


def _kept(image: Path, folder: Path) -> Path | None:
    return derived.kept(derived.LAID, _name(image), folder, _of_itself)


def _is_unfit(image: Path, folder: Path) -> bool:
    found = _kept(image, folder)
    return found is not None and not found.is_dir()


def _check(image: Path, names: Sequence[str], store: LocalStore) -> None:
    """Raise IntegrityError where an image is not what its name says."""
    verified.members(names, store)
    if image.parent.parent == store.folder / derived.MERGED and (
        derived.kept(derived.MERGED, _own(image), store.folder) is None
    ):
        raise IntegrityError(f"`{image}` is not what was merged", hint="run it again")


def _of_itself(path: Path) -> str:
    """The state of the outer folder alone: nobody can write through the stack to what is in it."""
    return " ".join(map(str, filesystem.identity(path.lstat())))


def _make(image: Path, made: Path, store: LocalStore) -> None:
    source, inside = lay.seen(image, store)
    if _unfit(inside.root, rights.may_mount()):
        made.touch()
        return
    numbers = Path(filesystem.fresh_name(store.scratch))
    numbers.mkdir(0o700)
    made.mkdir(0o755)
    try:
        lay.unpack(source, inside, numbers)
        root = made / _ROOT
        root.mkdir(0o700)
        lay.Laying([lay.Unpacked(inside, numbers)], lay.take, writable=True).lay(inside.root, root)
    finally:
        filesystem.remove_tree(numbers)
    opened = os.open(made, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.sync_file_system(opened)  # who finds it looks at no file in it
    finally:
        os.close(opened)


def _unfit(node: Node, is_root: bool) -> bool:
    """Whether files of this user can not be what overlayfs and programs would see in the image."""
    of = node.attributes
    if of.xattrs or isinstance(node, Special) or (not is_root and (of.uid or of.gid)):
        return True
    if isinstance(node, File):
        return bool(of.mode & _SETUID) or not of.mode & stat.S_IRUSR
    if not isinstance(node, Folder):
        return False
    readable = stat.S_IRUSR | stat.S_IXUSR
    if node.opaque or of.mode & _SETUID or of.mode & readable != readable:
        return True
    return any(_unfit(each, is_root) for each in node.entries.values())


def _files(folder: Folder) -> Sequence[File]:
    found: list[File] = []
    for node in folder.entries.values():
        if isinstance(node, File):
            found.append(node)
        elif isinstance(node, Folder):
            found += _files(node)
    return found
