"""`lamina login`: who we are to a registry, tried and kept where Docker keeps it."""

from __future__ import annotations

import argparse
import getpass
import sys

from lamina.cli import arguments, output, repositories
from lamina.core import reference
from lamina.core.errors import UserError


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("host", metavar="HOST", help="the registry, as `registry.example:5000`")
    parser.add_argument("-u", "--username", metavar="NAME", default="")
    parser.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    repositories.add_access(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Ask what is not given, try it, and keep it."""
    host = reference.host_of(args.host)
    access = repositories.access(args)
    user, secret = _ask(args)

    from lamina.store import credentials
    from lamina.store.repository import Refused
    from lamina.store.transport import Transport

    known = credentials.Credentials(user, secret)
    transport = Transport(reference.Reference(host, ""), access, known)
    try:
        was_asked = transport.log_in()
    except Refused as error:
        raise Refused(f"the registry `{host}` does not know `{user}` with this password") from error
    finally:
        transport.close()
    if not was_asked:
        output.warning(f"the registry `{host}` wanted to know nothing: the password is not tried")
    place = credentials.keep(host, known)
    if args.json:
        output.document({"host": host, "username": user, "kept": place, "tried": was_asked})
    else:
        output.note(f"logged in at `{host}` as `{user}`; kept in `{place}`")
    return 0


def _ask(args: argparse.Namespace) -> tuple[str, str]:
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    if not args.password_stdin and not is_terminal:
        raise UserError(
            "there is no terminal to ask for the password at",
            hint="give it on standard input, with `--password-stdin`",
        )
    user = args.username
    if not user:
        if args.password_stdin:
            raise UserError("`--password-stdin` needs `--username`")
        sys.stderr.write("user: ")
        sys.stderr.flush()
        user = sys.stdin.readline().strip()
    if not user or ":" in user:
        raise UserError(f"`{user}` is no name of a user")
    secret = sys.stdin.read() if args.password_stdin else getpass.getpass("password: ")
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise UserError("the password is empty")
    return user, secret
