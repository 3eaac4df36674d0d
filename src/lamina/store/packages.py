"""Packages in the local store: their manifests by digest, and names for those digests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, LaminaError, UserError
from lamina.core.manifest import Package, is_version
from lamina.core.tree import check_path
from lamina.formats import oci
from lamina.linux import filesystem
from lamina.store import verified
from lamina.store.local import LocalStore

LATEST = ".latest"  # that was packaged here; no legal version, so it can stand beside them
PULLED = ".pulled"  # that was pulled last, which a name alone means where none was packaged here


def put(package: Package, store: LocalStore) -> Digest:
    """Keep a package's documents, name it, and return the digest of its manifest or index.

    All layers must be in the store already: a named package is a whole one.
    """
    digest = put_unnamed(package, store)
    name(package, digest, store)
    return digest


def put_unnamed(package: Package, store: LocalStore, *, durable: bool = True) -> Digest:
    """The same for one whose layers may lie elsewhere: it is found by its digest alone."""
    for document in oci.documents(package):
        digest = store.write(document.data, durable=durable)
    return digest


def put_later(package: Package, store: LocalStore) -> tuple[Digest, Callable[[], None]]:
    """Keep it unnamed, and what is to be called once there is time: it syncs and names it.

    A package that garbage collection has taken by then gets no name.
    """
    digest = put_unnamed(package, store, durable=False)

    def settle() -> None:
        documents = [document.digest for document in oci.documents(package)]
        if not store.missing([*documents, *(layer.blob for layer in package.layers)]):
            store.sync(documents)
            name(package, digest, store)

    return digest, settle


def name(package: Package, digest: Digest, store: LocalStore) -> None:
    """Let a package that is here as a whole be found by its name and version."""
    for version in (package.version, LATEST):
        path = _path(store, package.name, version)
        _write(path, digest, store)


def _write(path: Path, digest: Digest, store: LocalStore) -> None:
    filesystem.write_atomic(path, f"{digest}\n".encode(), durable=True, scratch=store.scratch)


def read(digest: Digest, store: LocalStore, known: dict[Digest, Package] | None = None) -> Package:
    """The package whose manifest has this digest; raises BlobMissing or IntegrityError.

    `known` is for who reads several alike, as `oci.decode_package` has it.
    """
    return oci.decode_package(store.read(digest), store.read, known)


def name_if_free(package: Package, digest: Digest, store: LocalStore) -> bool:
    """Let a package that came from elsewhere be found by name and version, unless another one is.

    Whoever sends packages can call them anything: none takes the place of what was made here.
    Returns whether it is found by that now.
    """
    path, last = (_path(store, package.name, each) for each in (package.version, PULLED))
    try:
        is_ours = Digest.parse(path.read_text(errors="replace").strip()) == digest
    except (FileNotFoundError, UserError):
        _write(path, digest, store)
        is_ours = True
    if is_ours:
        _write(last, digest, store)
    return is_ours


@dataclass(frozen=True, slots=True)
class Kept:
    """A package that the store has under a name."""

    name: str
    version: str
    digest: Digest  # of its manifest


def kept(store: LocalStore) -> list[Kept]:
    """All packages that have a name, by that."""
    top = store.folder / "packages"
    found = []
    for path in sorted(top.rglob("*")):
        if path.name not in (LATEST, PULLED) and path.is_file():
            try:
                digest = Digest.parse(path.read_text(errors="replace").strip())
            except (UserError, FileNotFoundError):
                continue  # damaged, or just removed: no name of anything
            found.append(Kept(path.parent.relative_to(top).as_posix(), path.name, digest))
    return found


def is_whole(digest: Digest, store: LocalStore) -> bool:
    """Whether a package is in the store with all its layers."""
    try:
        package = read(digest, store)
    except IntegrityError:
        return False
    return not store.missing(layer.blob for layer in package.layers)


def images(package: Package, store: LocalStore) -> list[Path]:
    """Where the layers of a package lie in the store, bottom first.

    Raises BlobMissing, and IntegrityError where one does not match its name: whoever mounts them
    need not look again.
    """
    blobs = dict.fromkeys(layer.blob for layer in package.layers)
    for blob in blobs:
        store.path(blob)  # raises at once, before seconds go by with reading others
    files = {blob: verified.path(blob, store) for blob in blobs}
    return [files[layer.blob] for layer in package.layers]


def resolve(reference: str, store: LocalStore) -> Digest:
    """The manifest that a reference names: `name:version`, `name`, `name@sha256:…`, `sha256:…`.

    A name alone stands for the version that was packaged last, else pulled last. Raises UserError.
    """
    name, mark, hexadecimal = reference.rpartition("sha256:")
    if mark and (not name or name.endswith("@")):
        return _by_digest(hexadecimal, reference, store)
    name, colon, version = reference.partition(":")
    if colon and not is_version(version):
        raise _unknown(reference, store)
    try:
        path = _path(store, check_path(name), version or LATEST)
        if not version and not path.exists():
            path = _path(store, name, PULLED)
        return Digest.parse(path.read_text(errors="replace").strip())
    except (LaminaError, OSError) as error:  # no name of a package, or none that is kept here
        raise _unknown(reference, store) from error


def places(reference: str, store: LocalStore) -> list[Path]:
    """The files that tell what a reference names; none for one by digest."""
    name, _, version = reference.partition(":")
    if "sha256:" in reference:
        return []
    return [_path(store, name, each) for each in ([version] if version else [LATEST, PULLED])]


def _by_digest(hexadecimal: str, reference: str, store: LocalStore) -> Digest:
    try:
        found = store.find(Digest.from_oci(f"sha256:{hexadecimal}", 0).hash)
    except IntegrityError:
        found = None
    if found is None:
        raise _unknown(reference, store)
    return found


def _unknown(reference: str, store: LocalStore) -> UserError:
    hint = (
        "`lamina package TARGET` makes one; a reference is `name`, `name:version` "
        "or `name@sha256:<digest>`"
    )
    meant = _meant(reference, store)
    if reference.endswith(".xar"):
        hint = "`xarexec FILE` runs a XAR file, `xarexec -m FILE` mounts it"
    elif reference.startswith(("//", ":")):
        hint = f"that is a label: `lamina run {reference}`; the package of `//a/b:c` is `a/b/c`"
    elif meant:
        hint = f"did you mean `{meant}`?"
    return UserError(f"there is no package `{reference}` in the store `{store.folder}`", hint=hint)


def _meant(reference: str, store: LocalStore) -> str:
    """A package that is here, and called much like one that is not."""
    from difflib import get_close_matches

    top = store.folder / "packages"
    wanted = reference.partition(":")[0].partition("@")[0]
    files = (path for path in top.rglob("*") if path.is_file())
    known = sorted({path.parent.relative_to(top).as_posix() for path in files} - {wanted})
    last = [name for name in known if name.rpartition("/")[2] == wanted]
    return next(iter(last or get_close_matches(wanted, known, 1)), "")


def _path(store: LocalStore, name: str, version: str) -> Path:
    return store.folder / "packages" / name / version
