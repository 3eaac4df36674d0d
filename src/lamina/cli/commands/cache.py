"""`lamina cache`: what the store of this machine holds, and how much of it may stay."""

from __future__ import annotations

import argparse
import os
import time

from lamina.cli import arguments, output
from lamina.core import quantity
from lamina.core.errors import IntegrityError, UserError
from lamina.store import gc, leases, local, packages
from lamina.store.local import LocalStore


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "what", metavar="ls|du|gc|verify|pin|unpin",
        choices=("ls", "du", "gc", "verify", "pin", "unpin"),
        help="list packages; tell what takes room; remove what was used least recently; compare "
        "all blobs with their names; keep a package; let it go",
    )  # fmt: skip
    parser.add_argument("package", metavar="PACKAGE", nargs="?", default="")
    parser.add_argument(
        "--max-size", metavar="SIZE", default="",
        help="what may stay, as `20G` (default: LAMINA_CACHE_SIZE)",
    )  # fmt: skip
    parser.add_argument(
        "--min-free", metavar="SIZE", default="",
        help="what is to be free on the disk (default: LAMINA_CACHE_MIN_FREE)",
    )  # fmt: skip
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Do one of those; `verify` fails where a blob was wrong."""
    store = local.LocalStore(local.default_folder())
    try:
        return _COMMANDS[args.what](store, args)
    finally:
        store.close()


def _list(store: LocalStore, args: argparse.Namespace) -> int:
    _no_package(args)
    pinned, used = gc.pins(store), leases.used(store.folder)
    rows: list[dict[str, object]] = []
    for kept in packages.kept(store):
        try:
            package = packages.read(kept.digest, store)
        except IntegrityError:
            size, layers, here = 0, 0, 0
        else:
            size, layers = package.size, len(package.layers)
            here = layers - len(store.missing(layer.blob for layer in package.layers))
        last = used.get(kept.digest.hash)
        rows.append(
            {
                "name": kept.name,
                "version": kept.version,
                "digest": kept.digest.oci,
                "size": size,
                "layers": layers,
                "layers_here": here,
                "last_used": last,
                "pinned": kept.digest.hash in pinned,
            }
        )
    if args.json:
        output.document({"packages": rows})
        return 0
    output.table(
        ("package", "size", "layers", "last started", ""),
        [_row(each) for each in rows],
        right=(1, 2),
    )
    return 0


def _row(found: dict[str, object]) -> tuple[str, ...]:
    last, layers, here = found["last_used"], found["layers"], found["layers_here"]
    assert isinstance(found["size"], int)
    return (
        f"{found['name']}:{found['version']}",
        output.size(found["size"]),
        f"{layers}" if layers == here else f"{here} of {layers}",
        f"{output.duration(time.time() - last)} ago" if isinstance(last, float) else "never",
        "pinned" if found["pinned"] else "",
    )


def _usage(store: LocalStore, args: argparse.Namespace) -> int:
    _no_package(args)
    found = gc.usage(store)
    if args.json:
        kinds = [{"kind": each.kind, "files": each.files, "bytes": each.size} for each in found]
        output.document({"folder": str(store.folder), "usage": kinds})
        return 0
    rows = [(each.kind, str(each.files), output.size(each.size)) for each in found]
    total = sum(each.size for each in found)
    rows.append(("all", str(sum(each.files for each in found)), output.size(total)))
    output.table(("kind", "files", "size"), rows, right=(1, 2))
    return 0


def _collect(store: LocalStore, args: argparse.Namespace) -> int:
    _no_package(args)
    usual = gc.bounds_of(os.environ)
    bounds = gc.Bounds(
        quantity.size(args.max_size) if args.max_size else usual.most,
        quantity.size(args.min_free) if args.min_free else usual.free,
    )
    if bounds == gc.Bounds():
        raise UserError(
            "nothing says how much may stay",
            hint="give `--max-size` or `--min-free`, or set LAMINA_CACHE_SIZE",
        )
    done = gc.sweep(store, bounds)
    if args.json:
        output.document(
            {"removed": done.removed, "freed": done.freed, "left": done.used, "excess": done.excess}
        )
        return 0
    output.data(
        f"removed {output.plural(done.removed, 'file')}, {output.size(done.freed)}; "
        f"{output.size(done.used)} left"
    )
    if done.excess:
        output.warning(f"{output.size(done.excess)} more than wanted: it is in use or pinned")
    return 0


def _verify(store: LocalStore, args: argparse.Namespace) -> int:
    _no_package(args)
    done = gc.verify(store)
    if args.json:
        output.document({"blobs": done.blobs, "bytes": done.size, "wrong": list(done.wrong)})
    else:
        output.data(f"read {output.plural(done.blobs, 'blob')}, {output.size(done.size)}")
        for name in done.wrong:
            is_left = store.find(name) is not None  # where nothing may be removed
            output.data(f"wrong: {name}" if is_left else f"wrong and removed: {name}")
    return IntegrityError.exit_code if done.wrong else 0


def _pin(store: LocalStore, args: argparse.Namespace) -> int:
    digest = packages.resolve(_package(args), store)
    if not packages.is_whole(digest, store):
        raise UserError(f"`{args.package}` is not here as a whole", hint="pull it first")
    gc.pin(store, digest, args.package)
    return 0


def _unpin(store: LocalStore, args: argparse.Namespace) -> int:
    if not gc.unpin(store, packages.resolve(_package(args), store)):
        raise UserError(f"`{args.package}` is not pinned", hint="`lamina cache ls` tells what is")
    return 0


def _package(args: argparse.Namespace) -> str:
    if not args.package:
        raise UserError(f"`lamina cache {args.what}` needs a package", hint="`lamina cache ls`")
    return str(args.package)


def _no_package(args: argparse.Namespace) -> None:
    if args.package:
        raise UserError(f"`lamina cache {args.what}` takes no `{args.package}`")


_COMMANDS = {
    "ls": _list,
    "du": _usage,
    "gc": _collect,
    "verify": _verify,
    "pin": _pin,
    "unpin": _unpin,
}
