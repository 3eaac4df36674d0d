"""Repositories as the command line names them: how they are reached, and pulls with progress."""

from __future__ import annotations

import argparse
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lamina.cli import output
from lamina.core import reference
from lamina.core.classes import replace
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, UserError
from lamina.core.reference import Reference
from lamina.linux import filesystem

if TYPE_CHECKING:
    from lamina.core.manifest import Package
    from lamina.node.pull import Pulled
    from lamina.store.local import LocalStore
    from lamina.store.repository import Manifest, Repository
    from lamina.store.transport import Access
    from lamina.store.trust.signatures import Fetched

T = TypeVar("T")

_PATIENCE = 120.0  # seconds until what whoever submitted is sending should be there
_BOUNDS = ("LAMINA_CACHE_SIZE", "LAMINA_CACHE_MIN_FREE")


def add_access(parser: argparse.ArgumentParser) -> None:
    """Declare how registries are reached."""
    parser.add_argument(
        "--plain-http", action="store_true", help="speak HTTP without TLS, also to other hosts"
    )
    parser.add_argument(
        "--ca", type=Path, metavar="FILE", help="certificates that the registry is trusted by"
    )


def access(args: argparse.Namespace) -> Access:
    """How a registry is reached."""
    from lamina.store.transport import Access

    if args.ca is not None and not args.ca.is_file():
        raise UserError(f"`--ca`: there is no file `{args.ca}`")
    return Access(ca=args.ca, plain_http=args.plain_http)


@contextlib.contextmanager
def opened(wanted: Reference, args: argparse.Namespace) -> Iterator[Repository]:
    """The repository of a reference."""
    from lamina.store.repositories import open_repository

    repository = open_repository(wanted, access(args))
    try:
        yield repository
    finally:
        repository.close()


class Late:
    """A repository that is opened when something is first asked of it. Safe to use from threads.

    What speaks to registries takes as long to import as a small package takes to come.
    """

    def __init__(self, wanted: Reference, args: argparse.Namespace) -> None:
        self._wanted = wanted
        self._args = args
        self._lock = threading.Lock()
        self._repository: Repository | None = None

    def __call__(self) -> Repository:
        with self._lock:
            if self._repository is None:
                from lamina.store.repositories import open_repository

                self._repository = open_repository(self._wanted, access(self._args))
            return self._repository

    @property
    def is_open(self) -> bool:
        """Whether anything was asked of it."""
        return self._repository is not None

    def close(self) -> None:
        """Give up connections, if there are any."""
        if self._repository is not None:
            self._repository.close()


def at_hand(args: argparse.Namespace) -> Mapping[Digest, bytes]:
    """The blobs that came with the job, for a command that takes them."""
    from lamina.node import carried

    return carried.blobs(getattr(args, "carried", ""), output.warning)


def patiently(args: argparse.Namespace, work: Callable[[], T]) -> T:
    """What some work comes to, once what it needs of a repository is there.

    It is waited for where whoever submitted this job sends it just now; where that fails, the job
    is cancelled. Raises what the work does.
    """
    from lamina.node import carried

    if not carried.is_coming(getattr(args, "carried", "")):
        return work()
    from lamina.store.repository import NotThere

    end, pause, told = time.monotonic() + _PATIENCE, 0.05, False
    while True:
        try:
            return work()
        except NotThere as error:
            if time.monotonic() > end:
                raise
            if not told:
                output.note(f"{error.message}; it is being pushed, and waited for")
            told = True
        time.sleep(pause)
        pause = min(2 * pause, 1.0)


def pull(wanted: Reference, store: LocalStore, args: argparse.Namespace) -> Pulled:
    """Bring a package into the store, with its signatures where somebody asks for them; tell so."""
    from lamina.cli.moving import Progress
    from lamina.node import pull
    from lamina.store.trust import places

    is_asked = getattr(args, "signatures", False)
    came = at_hand(args)
    with contextlib.closing(Late(wanted, args)) as late, Progress("pulling") as progress:
        work = partial(
            pull.complete, wanted, late, store, came,
            planned=progress.planned, moved=progress.moved,
        )  # fmt: skip
        try:
            found = patiently(args, work)
        except OSError as error:
            if not filesystem.is_full(error) or not _make_room(store):
                raise
            found = patiently(args, work)
        if is_asked or places.in_force():
            from lamina.store.trust import signatures

            # Where those that came do not do, `admit` asks for the others.
            signed = [] if is_asked else signatures.among(found.digest, came)
            signed = signed or list(signatures.fetch(found.digest, late()).signatures)
            signatures.keep(found.digest, signed, store)
    _keep_bounds(store, found.digest)
    if not getattr(args, "json", False):
        output.note(
            f"pulled `{wanted}`: {output.plural(found.layers, 'layer')} new, "
            f"{output.size(found.size)}; {output.duration(progress.seconds)}"
            + ("; it came with the job" if found.blobs and not late.is_open else "")
        )
    return found


def _make_room(store: LocalStore) -> bool:
    """Remove what was used least recently from a full disk, where a bound says that it may go.

    As much goes as the bounds tell, and at least a quarter of what is there.
    """
    if not any(name in os.environ for name in _BOUNDS):
        return False
    from lamina.store import gc

    bounds = gc.bounds_of(os.environ)
    used = sum(each.size for each in gc.usage(store))
    most = used * 3 // 4 if bounds.most is None else min(bounds.most, used * 3 // 4)
    return gc.sweep(store, gc.Bounds(most, bounds.free)).removed > 0


def _keep_bounds(store: LocalStore, package: Digest) -> None:
    """Make room for what was pulled, where the environment says how much there is."""
    if not any(name in os.environ for name in _BOUNDS):
        return
    from lamina.store import gc, leases

    with leases.leased_package(store.folder, package):
        gc.sweep(store, gc.bounds_of(os.environ))


def find(text: str, store: LocalStore, args: argparse.Namespace) -> Digest:
    """The package that a reference names, pulled where that must be."""
    from lamina.node import find

    return find.find(text, store, lambda wanted: pull(wanted, store, args).digest, args.pull)


def images(
    text: str, package: Package, digest: Digest, store: LocalStore, args: argparse.Namespace
) -> list[Path]:
    """Where the layers of a package lie; what was damaged is pulled again, if it came from afar."""
    from lamina.store import packages

    # Each time the damaged one is gone.
    most = len(package.layers)
    return _healed(text, digest, store, args, lambda: packages.images(package, store), most)


def read(text: str, digest: Digest, store: LocalStore, args: argparse.Namespace) -> Package:
    """A package that was found and is leased; what has gone before that is pulled again."""
    from lamina.store import packages

    return _healed(text, digest, store, args, lambda: packages.read(digest, store), 1)


def _healed(
    text: str,
    digest: Digest,
    store: LocalStore,
    args: argparse.Namespace,
    work: Callable[[], T],
    most: int,
) -> T:
    """What work gives, for which a package is pulled again up to so many times."""
    may_pull = reference.is_remote(text) and args.pull != "never"
    for _ in range(most if may_pull else 0):
        with contextlib.suppress(IntegrityError):
            return work()
        pull(replace(reference.parse(text), tag="", digest=digest.oci), store, args)
    return work()


def admit(
    text: str, package: Package, digest: Digest, store: LocalStore, args: argparse.Namespace
) -> None:
    """Let a package that a reference named be run or mounted; raises where no policy allows it."""
    from lamina.store.trust import places

    policies = places.in_force()
    if not policies:
        return
    from lamina.node import admission

    def fetch() -> Fetched:
        from lamina.store.trust import signatures

        with opened(reference.parse(text), args) as repository:
            return signatures.fetch(digest, repository)

    may_ask = reference.is_remote(text) and args.pull != "never"
    for warning in admission.admit(package, digest, store, policies, fetch if may_ask else None):
        output.note(f"warning: {warning}")


def reader(
    repository: Callable[[], Repository],
    manifest: bytes,
    here: Callable[[Digest], bytes | None] = lambda _digest: None,
) -> Callable[[Digest], bytes]:
    """Reads what a manifest in a repository names: other manifests, and small blobs.

    `here` gives what need not be asked for.
    """
    from lamina.formats import oci

    kinds = {child: kind for kind, child in oci.children(manifest)}

    def read(digest: Digest) -> bytes:
        data = here(digest)
        if kinds.get(digest) not in (oci.MANIFEST, oci.INDEX):
            return repository().read(digest) if data is None else data
        found = repository().manifest(digest.oci).data if data is None else data
        kinds.update((child, kind) for kind, child in oci.children(found))
        return found

    return read


def described(wanted: Reference, repository: Repository, manifest: Manifest) -> Package:
    """The package that a manifest in a repository describes; UserError where it is of none."""
    from lamina.formats import oci

    if not oci.is_package(manifest.data):
        raise UserError(
            f"`{wanted}` is no lamina package", hint="`lamina inspect` tells what it is"
        )
    return oci.decode_package(manifest.data, reader(lambda: repository, manifest.data))


def add_pull(parser: argparse.ArgumentParser) -> None:
    """Declare when a package is pulled."""
    parser.add_argument(
        "--pull", choices=("missing", "always", "never"), default="missing",
        help="when to ask the registry (default: where the package is not here)",
    )  # fmt: skip
    add_access(parser)
