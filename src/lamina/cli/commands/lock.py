"""`lamina lock`: resolve requirements of Python code to a lock file with addresses and digests."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import output
from lamina.cli.session import Options, Session
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.build.locking.locker import Ground
    from lamina.formats.pylock import Archive, Distribution, Settings

NAME = "pylock.toml"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "inputs", nargs="*", type=Path, metavar="FILE", default=[],
        help="files of requirements, as pip takes them, or a pyproject.toml; "
        "without any, those that the lock was made of",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", "--output-file", type=Path, metavar="LOCK",
        help=f"the lock file (default: `{NAME}` beside the first FILE)",
    )  # fmt: skip
    parser.add_argument(
        "-U", "--upgrade", action="store_true", help="take the newest versions of all"
    )
    parser.add_argument(
        "-P", "--upgrade-package", action="append", default=[], metavar="NAME",
        help="take the newest version of one distribution",
    )  # fmt: skip
    parser.add_argument(
        "--check", action="store_true",
        help="write nothing; exit with 1 where the lock is not up to date",
    )  # fmt: skip
    parser.add_argument(
        "--python-version", metavar="VERSION",
        help="`3.11`, or `>=3.11,<3.14` for several (default: that of the workspace)",
    )  # fmt: skip
    parser.add_argument(
        "--platform", "--python-platform", action="append", metavar="NAME",
        help="lock for this one alone: `linux`, `linux_x86_64`, … (default: for all)",
    )  # fmt: skip
    parser.add_argument(
        "--extra", action="append", metavar="NAME", help="an extra of the pyproject.toml too"
    )
    parser.add_argument(
        "--group", action="append", metavar="NAME", help="a group of the pyproject.toml too"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing")


def run(args: argparse.Namespace) -> int:
    """Lock, or look whether that would change anything."""
    from lamina.build.locking import locker

    file = _file(args)
    with Session(Options(1, quiet=True)) as session:
        settings = _settings(args, file)
        upgrade = locker.Upgrade(args.upgrade, tuple(args.upgrade_package))
        text = locker.lock(file, settings, upgrade, _ground(session))
    old = file.read_text(encoding="utf-8") if file.exists() else None
    if args.check:
        return _check(args, file, text == old)
    if text != old:
        from lamina.linux import filesystem

        filesystem.write_atomic(file, text.encode())
    if not args.quiet:
        _tell(file, old, text)
    return 0


def _file(args: argparse.Namespace) -> Path:
    if args.output is None and not args.inputs:
        raise UserError(
            "`lamina lock` needs FILE",
            hint="name a file of requirements, or by `--output` a lock that is to be made again",
        )
    chosen: Path = args.output or args.inputs[0].parent / NAME
    return chosen.parent.resolve() / chosen.name


def _settings(args: argparse.Namespace, file: Path) -> Settings:
    """What is asked for now; what is not said stays as it was."""
    from lamina.formats import pylock
    from lamina.formats.pylock import Settings

    lock = pylock.read(file)
    known = lock.settings if lock else Settings()
    if lock is None and not args.inputs:
        raise UserError(f"there is no lock `{file}`", hint="name the files of requirements too")
    inputs = [os.path.relpath(each.resolve(), file.parent) for each in args.inputs]
    if not (inputs or known.inputs):
        raise UserError(f"`{file}` does not tell what it was made of", hint="name the files too")
    return Settings(
        tuple(inputs) or known.inputs,
        known.python_version if args.python_version is None else args.python_version,
        known.platforms if args.platform is None else tuple(args.platform),
        known.extras if args.extra is None else tuple(args.extra),
        known.groups if args.group is None else tuple(args.group),
    )


def _ground(session: Session) -> Ground:
    from lamina.build.locking.locker import Ground

    python = session.toolchains.python
    platform = session.toolchains.python_platform

    def fits(each: Distribution) -> bool:
        return platform.best(each.wheels) is not None

    return Ground(
        Path(python.path),
        python.version,
        session.store.scratch,
        lambda archive: _fetched(session, archive),
        fits,
        os.environ,
    )


def _fetched(session: Session, archive: Archive) -> Path:
    """The file of an archive, as a blob under its own name."""
    from lamina.linux import filesystem
    from lamina.store.download import Downloader, Wanted

    digest = Downloader(session.store).fetch(Wanted((archive.place,), archive.sha256, archive.size))
    folder = session.store.scratch / "sdists"
    folder.mkdir(exist_ok=True)
    named = folder / archive.name
    named.unlink(missing_ok=True)
    filesystem.link_or_copy(session.store.path(digest), named, 0o444)
    return named


def _check(args: argparse.Namespace, file: Path, same: bool) -> int:
    if not args.quiet:
        shown = os.path.relpath(file)
        output.note(f"`{shown}` is {'' if same else 'not '}up to date")
    return 0 if same else 1


def _tell(file: Path, old: str | None, new: str) -> None:
    """Tell which versions have changed."""
    before, after = _versions(old), _versions(new)
    for name in sorted({*before, *after}):
        was, now = before.get(name, ""), after.get(name, "")
        if was != now:
            output.note(f"{name}: {was or 'new'} -> {now or 'gone'}" if was else f"{name} {now}")
    count = output.plural(len(after), "distribution")
    done = "is as it was" if old == new else "written"
    output.note(f"`{os.path.relpath(file)}` {done}: {count}")


def _versions(text: str | None) -> dict[str, str]:
    from lamina.formats import pylock

    found: dict[str, list[str]] = {}
    for each in pylock.decode(text).distributions if text else ():
        found.setdefault(each.name, []).append(each.version)
    return {name: ", ".join(versions) for name, versions in found.items()}
