"""Actions that lamina itself does: what needs the network, or writes straight into the store.

Their arguments are no command, but what they work by. They are looked up, remembered and told of
like all others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, cast

from lamina.build.sandbox import Cancelled
from lamina.core.action import Action, ActionResult, Artifact, Stored
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, LaminaError, UserError
from lamina.core.tree import File, Folder, Node, Tree, below
from lamina.store.blobs import BlobMissing
from lamina.store.local import LocalStore

if TYPE_CHECKING:
    from lamina.store.download import Downloader, Wanted
    from lamina.store.unpack import Unpacking

DOWNLOAD, UNPACK, IMAGE_LAYER, ROOT_LAYER = "download", "unpack", "image-layer", "root-layer"
LAYER = "layer.tar"
ROOT, ROOT_ID = "root", "diff_id"  # what a root layer is, and the sha256 of the archive in it


class BuiltinFailed(LaminaError):
    """Work of lamina's own came to nothing; the exit code is that of the fault behind it."""


class Builtins:
    """Does such actions, several at once in as many threads."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._downloader: Downloader | None = None
        self._lock = threading.Lock()
        self._cancelled = False

    def cancel(self) -> None:
        """End all that is being done, and let none start."""
        with self._lock:
            self._cancelled = True
            if self._downloader is not None:
                self._downloader.cancel()

    def _go_on(self) -> None:
        if self._cancelled:
            raise Cancelled

    def run(self, action: Action, tree: Tree) -> ActionResult:
        """Do one action; raises BuiltinFailed."""
        self._go_on()
        try:
            made = _WORK[action.builtin](self, action, tree)
        except BlobMissing:
            raise  # no fault of the action: what it reads has gone from the store
        except LaminaError as error:
            failure = BuiltinFailed(error.message, hint=error.hint)
            failure.exit_code = error.exit_code
            raise failure from error
        return ActionResult(tuple(sorted(made.items())))

    def _download(self, action: Action, _tree: Tree) -> Mapping[str, Node]:
        from lamina.store.download import Downloader, Ended

        with self._lock:
            self._go_on()
            downloader = self._downloader = self._downloader or Downloader(self._store)
        try:
            digest = downloader.fetch(_wanted(action))
        except Ended:
            raise Cancelled from None
        return {action.outputs[0]: File(digest, action.arguments[1] == "executable")}

    def _unpack(self, action: Action, tree: Tree) -> Mapping[str, Node]:
        from lamina.store.unpack import Unpacking, unpack

        _, type_, prefix, *excludes = action.arguments
        (archive,) = tree.values()
        if not isinstance(archive, File):
            raise UserError(f"`{next(iter(tree))}` is no file")
        how = Unpacking(type_, prefix, tuple(excludes))
        found = unpack(archive.digest, how, self._store, self._go_on)
        folder, *wanted = action.outputs
        made = below(folder, found) or {folder: Folder()}
        for path in wanted:
            if path not in made and not any(each.startswith(f"{path}/") for each in made):
                raise UserError(f"it has no `{path.removeprefix(f'{folder}/')}`")
        return made

    def _image_layer(self, action: Action, tree: Tree) -> Mapping[str, Node]:
        from lamina.formats import imagelayer

        (layer,) = tree.values()
        assert isinstance(layer, File)
        with (
            self._store.path(layer.digest).open("rb") as file,
            self._store.incoming(durable=False) as incoming,
        ):
            found = imagelayer.convert(file, layer.digest.size, cast("IO[bytes]", incoming))
            if action.arguments[1] not in ("", found):
                raise IntegrityError(
                    "the layer is not the one that the image's configuration names\n"
                    f"  expected sha256 {action.arguments[1]}\n  found    sha256 {found}"
                )
            return {LAYER: File(incoming.adopt())}

    def _root_layer(self, _action: Action, tree: Tree) -> Mapping[str, Node]:
        from lamina.formats import archive

        (root,) = tree.values()
        assert isinstance(root, File)
        with (
            self._store.path(root.digest).open("rb") as file,
            self._store.incoming(durable=False) as incoming,
        ):
            kept = archive.compression(file) in ("", "gz", "zst")
            if kept:
                found = archive.plain(file, root.digest.size)
            else:
                found = archive.to_gzip(file, root.digest.size, cast("IO[bytes]", incoming))
            made = root.digest if kept else incoming.adopt()
        return {ROOT: File(made), ROOT_ID: File(self._store.write(found.encode(), durable=False))}


_WORK = {
    DOWNLOAD: Builtins._download,
    UNPACK: Builtins._unpack,
    IMAGE_LAYER: Builtins._image_layer,
    ROOT_LAYER: Builtins._root_layer,
}


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


def unpack(
    owner: str, archive: tuple[str, Artifact], how: Unpacking, folder: str, wanted: Iterable[str]
) -> Action:
    """The action that unpacks an archive into a folder, in which some paths are `wanted`."""
    return Action(
        "Unpack",
        owner,
        (UNPACK, how.type, how.strip_prefix, *how.excludes),
        (archive,),
        (folder, *(f"{folder}/{path}" for path in wanted)),
        subject=archive[0],
        builtin=UNPACK,
    )


def image_layer(owner: str, layer: Digest, diff_id: str) -> Action:
    """The action that makes of a layer of an image what mksquashfs takes; its output is LAYER."""
    return Action(
        "ImageLayer",
        owner,
        (IMAGE_LAYER, diff_id),
        ((LAYER, Stored(File(layer))),),
        (LAYER,),
        subject=f"{owner} {layer.short}",
        builtin=IMAGE_LAYER,
    )


def _wanted(action: Action) -> Wanted:
    from lamina.store.download import Wanted

    _, _, sha256, size, *urls = action.arguments
    return Wanted(tuple(urls), sha256, int(size) if size else None)


def root_layer(owner: str, root: Digest) -> Action:
    """The action that makes the tar archive of a root file system what images have as a layer.

    It stays as it is where that is so; its outputs are ROOT and ROOT_ID.
    """
    return Action(
        "RootLayer",
        owner,
        (ROOT_LAYER,),
        ((ROOT, Stored(File(root))),),
        (ROOT, ROOT_ID),
        subject=f"{owner} {root.short}",
        builtin=ROOT_LAYER,
    )
