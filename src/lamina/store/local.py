"""The content-addressed store of a machine: blobs, action results and package names in a folder.

Layout (see docs/formats.md):

    VERSION                     `1`
    lock                        held shared by every user, exclusive by who empties the store
    blobs/<2 hex>/<62 hex>      a blob, mode 0444
    executables/<2 hex>/<62 hex>  the same bytes as a blob, mode 0555, made when first asked for
    actions/results.db          ActionResults by the digest of their Action, in SQLite
    packages/<name>/<version>   the digest of a package manifest
    images/<2 hex>/<62 hex>     a layer of an OCI image, by the digest of what is in it
    verified/<2 hex>/<62 hex>   which state of a blob's file was compared with its name
    merged/<2 hex>/<62 hex>     several layers as one image, by the digest of their digests
    extracted/, joined/         the files of a layer; layers laid out as one folder (likewise)
    made/<2 hex>/<62 hex>       how one of these was when it was done, and of which blobs
    cells/<name>-<16 hex>/      an archive that is a cell, unpacked; by what it is made of
    workspaces/<16 hex>/        what is known of one workspace's files between two runs
    leases/, gc.lock            what must stay, each locked by who needs it (`leases`)
    pins/<64 hex>, used/<64 hex>  packages that stay; when they were last started (`gc`)
    starts/<user>-<reference>   what a start of a package came to (`starts`)
    partial/<64 hex>            the begin of a blob that is being fetched, locked by who does
    pulled/<32 hex>             what a tag stood for when it was pulled
    whole, removals/            manifests with all that they name, and since when (`whole`)
    pushed/<16 hex>             what was last pushed to a repository
    tmp/<pid>-<random>/         scratch of a running process, which holds a lock on it
    tmp/job-<random>/           what a running program may write to, likewise
    tmp.lock                    held while a scratch folder is made or removed

What is checked when. Bytes are hashed as they come in, so what is written is what its name says;
but a file may change later: by a fault of the disk, a power cut (see `add`), or as the folder was
copied from elsewhere.

- `has`, `missing`, `path`: that there is a file of this size.
- `read`, `open`, `verify`: all bytes, each time.
- `verified.path`, by which layers are asked for before they are mounted: all bytes, unless this
  state of the file was compared before.

What does not match is removed: it is missing from then on, and made or fetched anew.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lamina.core.digest import Digest
from lamina.core.errors import HostError, IntegrityError, UserError
from lamina.linux import btrfs, filesystem
from lamina.store import place, starts, whole
from lamina.store.blobs import BlobMissing, mismatch, verified
from lamina.store.held import Held, Upstream
from lamina.store.scratch import Scratch
from lamina.store.streams import Distant, Hashing, Incoming

FORMAT = "1"
_CHUNK = 1 << 20
_CONTENTS = (
    "blobs", "executables", "actions", "packages", "images", "verified", "merged", "extracted",
    "joined", "made", "cells", "workspaces", "partial", "pulled", "pushed", "pins", "signatures",
    "used", starts.FOLDER, whole.TOKEN,
)  # fmt: skip


def default_folder() -> Path:
    """Where the store lies: `$LAMINA_STORE`, else `lamina` in the user's cache folder."""
    return Path(place.folder())


class LocalStore:
    """A store in a folder; many processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        """Open the store, making it where there is none.

        Raises HostError where it cannot be made or used, UserError for a store of another format.
        """
        self.folder = folder
        self._blobs = f"{folder}/blobs"
        self._held = Held()
        self.upstream: Upstream | None = None
        self._executables: set[Digest] = set()
        self._scratch = Scratch(folder / "tmp", folder / "tmp.lock")
        try:
            self._lock = _open(folder, self._scratch)
        except OSError as error:
            raise HostError(
                f"cannot keep a store in `{folder}`: {error.strerror}",
                hint="set LAMINA_STORE to a folder you may write",
            ) from error
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def close(self) -> None:
        """Remove the scratch folder and give up the locks; the end of the store's use."""
        self._scratch.close()
        os.close(self._lock)

    def empty(self) -> None:
        """Remove all that is kept; raises UserError while another process uses the store."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # The kernel gave up the shared lock to try for the exclusive one.
            fcntl.flock(self._lock, fcntl.LOCK_SH)
            raise UserError(
                f"another lamina uses the store `{self.folder}`", hint="wait for it to end"
            ) from None
        (self.folder / whole.FILE).unlink(missing_ok=True)
        for path in self.folder.glob("[ej]*/??/*"):  # extracted, joined
            if btrfs.is_subvolume(path):
                btrfs.remove(path)
        for name in _CONTENTS:
            filesystem.remove_tree(self.folder / name)
        self._executables.clear()
        self._held.clear()
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def missing(self, digests: Iterable[Digest]) -> set[Digest]:
        return {digest for digest in digests if not self.has(digest)}

    def has(self, digest: Digest) -> bool:
        """Whether the blob is here, by name and size, or can be had."""
        return digest in self._held or self._is_here(digest)

    def _is_here(self, digest: Digest) -> bool:
        try:
            # Asked for every input of every action: paths as text are several times as fast.
            return os.stat(self._place(digest)).st_size == digest.size
        except FileNotFoundError:
            return False

    def find(self, hexadecimal: str) -> Digest | None:
        """The digest of the blob with this hash, if one is here."""
        try:
            return Digest(hexadecimal, self._blob(Digest(hexadecimal, 0)).stat().st_size)
        except FileNotFoundError:
            return None

    def read(self, digest: Digest) -> bytes:
        if (held := self._held.data(digest)) is not None:
            return held
        near = self.upstream is None and digest not in self._held
        path = self._blob(digest) if near else self._file(digest)
        try:
            return verified(digest, path.read_bytes())
        except FileNotFoundError:
            raise BlobMissing(digest) from None
        except IntegrityError:
            self.drop(path)
            raise

    def verify(self, digest: Digest) -> None:
        """Compare a blob of any size with its name; raises as `read` does."""
        path = self.path(digest)
        found = filesystem.sha256(path)
        if found != digest.hash:
            self.drop(path)
            raise mismatch(digest)

    def drop(self, path: Path) -> None:
        """Remove a file that is not what it is called: it is made or fetched anew.

        In a store that may only be read it stays, and is found wrong again.
        """
        try:
            whole.removing(self.folder)
            path.unlink(missing_ok=True)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise

    @contextlib.contextmanager
    def open(self, digest: Digest) -> Iterator[Hashing]:
        """A blob of any size as a stream, to be read to its end.

        What was read is compared with its name when the block ends: whoever made something of it
        must not keep that when IntegrityError is raised then.
        """
        path = self.path(digest)
        with path.open("rb") as file:
            stream = Hashing(file)
            yield stream
            if stream.hash.hexdigest() != digest.hash:
                self.drop(path)
                raise mismatch(digest)

    def write(self, data: bytes, *, durable: bool = True) -> Digest:
        """Keep a blob; what is not `durable` is not synced, as in `add`."""
        digest = Digest.of(data)
        self._write(digest, data, durable=durable)
        return digest

    def hold(self, data: bytes) -> Digest:
        """Keep a blob for as long as the store is open; it lies there once a file is asked for.

        For what can be read or made again: there is none of the work of making a file.
        """
        digest = Digest.of(data)
        if digest not in self._held and not self._held.keep(digest, data):
            self._write(digest, data, durable=False)
        return digest

    def promise(self, digest: Digest, path: str) -> None:
        """Know a file whose bytes are this blob: it is copied when it is asked for.

        A file that has changed by then is IntegrityError for who asks.
        """
        self._held.promise(digest, path)

    def expect(self, digests: Iterable[Digest]) -> None:
        """Know that the upstream store has blobs: they are brought when they are asked for."""
        self._held.expect(digests)

    def fetch(self, digests: Iterable[Digest]) -> None:
        """Bring at once what of some blobs lies upstream; raises BlobMissing for what is lost."""
        if self.upstream is None:
            return
        lacking = self.far(digests)
        if lacking:
            self.upstream.bring(lacking)
        for digest in sorted(lacking):
            self._held.release(digest)
            if not self._is_here(digest):
                raise BlobMissing(digest)

    def look_up(self, digests: Iterable[Digest]) -> None:
        """Find out whether upstream has what of some blobs nobody has told of."""
        unknown = self.missing(digests)
        if unknown and self.upstream is not None:
            self.expect(unknown - self.upstream.lacking(unknown))

    def far(self, digests: Iterable[Digest]) -> set[Digest]:
        """Those of some blobs that would have to be brought."""
        return {digest for digest in digests if self._is_nowhere(digest)}

    def forget(self) -> None:
        """Believe nothing any more of what was seen here, or was said to lie upstream."""
        self._executables.clear()
        self._held.forget_far()

    def _is_nowhere(self, digest: Digest) -> bool:
        """Whether neither the store nor this process has a blob."""
        held = self._held.data(digest) is not None or self._held.file(digest) is not None
        return not held and not self._is_here(digest)

    def _write(self, digest: Digest, data: bytes, *, durable: bool) -> None:
        if not self._is_here(digest):
            temporary = filesystem.fresh_name(self._scratch.name or str(self.scratch))
            try:
                filesystem.write_new(temporary, data, 0o444, durable=durable)
                filesystem.move(temporary, self._place(digest))
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise

    def path(self, digest: Digest, *, executable: bool = False) -> Path:
        """A file with the blob's bytes, for reading only; raises BlobMissing."""
        if executable:
            return self._executable(digest)
        return self._file(digest)

    def source(self, digest: Digest) -> Path | Distant:
        """A file with the blob's bytes, or what reads them where they lie upstream alone."""
        if self.upstream is not None and self._is_nowhere(digest):
            return self.upstream.distant(digest)
        return self.path(digest)

    def _file(self, digest: Digest) -> Path:
        """The file of a blob, which is made of what is held where there is none yet."""
        # Another thread makes the file first, and only then lets go of what is held.
        data, promised = self._held.data(digest), self._held.file(digest)
        if not self._is_here(digest) and data is not None:
            self._write(digest, data, durable=False)
        elif not self._is_here(digest) and not self._is_copied(promised, digest):
            self._held.release(digest)
            if self.upstream is None:
                raise BlobMissing(digest)
            self.fetch([digest])
        self._held.release(digest)
        return self._blob(digest)

    def _is_copied(self, source: Path | None, digest: Digest) -> bool:
        try:
            return source is not None and self.add(source) == digest
        except OSError as error:
            if filesystem.is_full(error):
                raise
            return False  # whoever reads the file anew tells what is wrong with it

    def add(self, source: Path) -> Digest:
        """Copy a file into the store: what is hashed is what is kept, whoever writes meanwhile.

        Unlike what cannot be made again, it is not synced: what a power cut leaves of it has
        another size, and so is not taken for the blob.
        """
        with source.open("rb", buffering=0) as file:
            data = file.read(_CHUNK)
            if len(data) < _CHUNK and not file.read(1):
                return self.write(data, durable=False)
            with self._temporary() as temporary:
                digest = _copy_hashing(data, file, temporary)
                self._adopt(temporary, digest)
        return digest

    def take(self, source: Path) -> Digest:
        """Move a file that nobody else holds open into the store (same file system).

        It is not synced, as in `add`: an action can run again.
        """
        digest = Digest(filesystem.sha256(source), source.stat().st_size)
        self._adopt(source, digest)
        return digest

    @contextlib.contextmanager
    def incoming(self, *, durable: bool = True) -> Iterator[Incoming]:
        """A blob that arrives piece by piece; unless it is adopted, nothing of it is kept.

        What is not `durable` is not synced, as in `add`.
        """
        with self._temporary() as temporary, temporary.open("wb") as file:

            def adopt(digest: Digest) -> None:
                file.flush()
                if durable:
                    os.fdatasync(file.fileno())
                self._adopt(temporary, digest)

            yield Incoming(file, adopt)

    def adopt(self, path: Path, digest: Digest) -> None:
        """Give a file of the store's file system its name as a blob; it was compared with that.

        The folder is synced too: a power cut takes nothing back. So the file must be, before.
        """
        place = self._place(digest)
        filesystem.move(str(path), place)
        filesystem.sync_folder(Path(place).parent)

    def settle(self, digests: Iterable[Digest]) -> None:
        """Let the names of blobs that were written as durable survive a power cut too."""
        for folder in sorted({Path(self._place(digest)).parent for digest in digests}):
            filesystem.sync_folder(folder)

    def sync(self, digests: Iterable[Digest]) -> None:
        """Let blobs that are here survive a power cut, also those that were not durable."""
        digests = list(digests)
        for digest in digests:
            filesystem.sync_file(self._blob(digest))
        self.settle(digests)

    def _adopt(self, temporary: Path, digest: Digest) -> None:
        """Give a file its name."""
        # Rename is atomic within a file system: a reader sees all of a blob or none of it, and
        # two writers of one blob write the same bytes.
        if not self._is_here(digest):
            temporary.chmod(0o444)
            filesystem.move(str(temporary), self._place(digest))

    def _place(self, digest: Digest) -> str:
        return f"{self._blobs}/{digest.hash[:2]}/{digest.hash[2:]}"

    def _blob(self, digest: Digest) -> Path:
        return Path(self._place(digest))

    def _executable(self, digest: Digest) -> Path:
        path = self.folder / "executables" / digest.hash[:2] / digest.hash[2:]
        if digest not in self._executables:
            if not path.exists() or path.stat().st_size != digest.size:
                self._make_executable(digest, path)
            self._executables.add(digest)
        return path

    def _make_executable(self, digest: Digest, path: Path) -> None:
        source = self.path(digest)
        filesystem.make_folder(path.parent)
        with self._temporary() as temporary:
            temporary.unlink()
            filesystem.clone_or_copy(source, temporary, 0o555)
            temporary.replace(path)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A fresh name in the scratch folder, removed at the end unless it was renamed away."""
        with filesystem.temporary_beside(self.scratch / "blob") as temporary:
            yield temporary

    @property
    def scratch(self) -> Path:
        """A folder on the store's file system for this process alone, removed by `close`."""
        return self._scratch.folder

    def sweep_scratch(self) -> None:
        """Remove the scratch folders of dead processes."""
        self._scratch.sweep()


def _open(folder: Path, scratch: Scratch) -> int:
    """The descriptor of a store's lock file, once its format is known to be ours."""
    version = folder / "VERSION"
    try:
        found = version.read_text(errors="replace").strip()
    except FileNotFoundError:
        found = FORMAT
        # Else a power cut may leave an empty one, and a store that nobody opens again.
        data = f"{FORMAT}\n".encode()
        with contextlib.closing(scratch):
            filesystem.write_atomic(version, data, durable=True, scratch=scratch.folder)
    if found != FORMAT:
        raise UserError(
            f"the store `{folder}` has format {found}, this lamina knows format {FORMAT}",
            hint="set LAMINA_STORE to another folder",
        )
    path = folder / "lock"
    try:
        return filesystem.open_shared(path)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES):
            raise
        # What is in a store that may only be read can be run all the same.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _copy_hashing(begin: bytes, reader: io.RawIOBase, target: Path) -> Digest:
    """Copy what was read of a file and the rest of it."""
    import hashlib  # dear: it brings OpenSSL

    hasher = hashlib.sha256()
    size = 0
    with target.open("wb") as writer:
        chunk = begin
        while chunk:
            hasher.update(chunk)
            writer.write(chunk)
            size += len(chunk)
            chunk = reader.read(_CHUNK) or b""
    return Digest(hasher.hexdigest(), size)
