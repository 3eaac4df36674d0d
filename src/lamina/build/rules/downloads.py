"""Files from elsewhere, known by their digest."""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from urllib.parse import unquote, urlsplit

from lamina.build import builtins
from lamina.build.analysis import Context, RuleFault
from lamina.build.attributes import Attribute, Kind
from lamina.build.providers import Analysed
from lamina.build.rule import Rule
from lamina.core.action import Output
from lamina.core.errors import UserError
from lamina.store.download import Wanted, check_url


def http_file(ctx: Context) -> Analysed:
    """`http_file`, `remote_file`: a file that is fetched."""
    wanted = wanted_file(ctx)
    executable = ctx.flag("executable") or ctx.text("type") == "executable"
    if ctx.text("type") not in ("", "data", "executable"):
        raise RuleFault(
            f'`type` is `"data"` or `"executable"`, not `"{ctx.text("type")}"`',
            hint="`http_archive` unpacks what it fetches",
            attribute="type",
        )
    path = ctx.in_package(ctx.text("out") or ctx.label.name)
    return Analysed(ctx.label, files=((path, fetched(ctx, wanted, path, executable)),))


def fetched(ctx: Context, wanted: Wanted, path: str, executable: bool = False) -> Output:
    """The file that an action of the target fetches, at a path of its own."""
    action = builtins.download(str(ctx.label), wanted, path, executable=executable)
    return action.output(path)


def wanted_file(ctx: Context) -> Wanted:
    """What the attributes of a target say is to be fetched."""
    urls = tuple(url for name in ("url", "urls") for url in _texts(ctx, name))
    if not urls:
        raise RuleFault("it has no `urls`", hint='say where to fetch it: `urls = ["https://…"]`')
    for url in urls:
        try:
            check_url(url)
        except UserError as error:
            raise RuleFault(error.message, hint=error.hint, attribute="urls") from error
    return Wanted(urls, _sha256(ctx, urls[0]), ctx.number("size_bytes") or None)


def _texts(ctx: Context, name: str) -> tuple[str, ...]:
    value = ctx.target.attributes.get(name)
    if isinstance(value, str):
        return (value,) if value else ()
    return value if isinstance(value, tuple) else ()


def _sha256(ctx: Context, url: str) -> str:
    """The digest, of its digits or of what HTML calls integrity."""
    digits, integrity = ctx.text("sha256").lower(), ctx.text("integrity")
    if digits and re.fullmatch(r"[0-9a-f]{64}", digits):
        return digits
    if digits:
        raise RuleFault(
            f"not a sha256: `{ctx.text('sha256')}`",
            hint="it has 64 hexadecimal digits",
            attribute="sha256",
        )
    if integrity.startswith("sha256-"):
        try:
            raw = base64.b64decode(integrity.removeprefix("sha256-"), validate=True)
        except binascii.Error:
            raw = b""
        if len(raw) == 32:
            return raw.hex()
    if integrity:
        raise RuleFault(
            f"not the sha256 of a file: `{integrity}`",
            hint="`integrity` is `sha256-` and 44 characters of base64; or give `sha256`",
            attribute="integrity",
        )
    raise RuleFault(
        "it has no `sha256`",
        hint=f"what is fetched is known by its digest: `curl -L {url} | sha256sum` tells it",
    )


def file_name(url: str) -> str:
    """The name that a file has at its address."""
    return posixpath.basename(unquote(urlsplit(url).path)) or "file"


FETCHING = {
    "urls": Attribute(
        Kind.STRING_LIST, doc="addresses (https, http, file); the first that has it is taken"
    ),
    "url": Attribute(Kind.STRING, doc="one more address, asked first"),
    "sha256": Attribute(Kind.STRING, doc="digest of what is fetched, 64 hexadecimal digits"),
    "integrity": Attribute(Kind.STRING, doc="the same as `sha256-` and base64"),
    "size_bytes": Attribute(Kind.INTEGER, doc="its size, where that is to be checked too"),
    "sha1": Attribute(Kind.ANY),
    "vpnless_urls": Attribute(Kind.ANY),
    "auth_patterns": Attribute(Kind.ANY),
    "canonical_id": Attribute(Kind.ANY),
    "netrc": Attribute(Kind.ANY),
    "exec_deps": Attribute(Kind.ANY),
}

RULES = (
    Rule(
        "http_file",
        {
            **FETCHING,
            "out": Attribute(Kind.STRING, doc="what it is called; by default like the target"),
            "executable": Attribute(Kind.BOOLEAN, doc="whether it is a program"),
            "type": Attribute(Kind.STRING, doc='`"executable"` says the same'),
        },
        http_file,
        names=("remote_file",),
        aliases={"downloaded_file_path": "out"},
        doc="A file that is fetched, and known by its digest.",
    ),
)
