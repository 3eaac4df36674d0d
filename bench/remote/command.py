"""`python -m bench remote`: a repository built over a remote cache, by lamina and by Bazel.

Both build the same files with the same farm (buildbox-casd) in the same run, through a proxy that
counts requests and bytes and knows nothing of either. Each step is a checkout of its own, at
another path, with nothing kept on that machine, unless it says otherwise.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import machine
from bench.build import bazel
from bench.build.laminatool import LaminaTool
from bench.build.repository import Repository
from bench.build.shape import Rule, Shape, shape
from bench.build.tool import Tool
from bench.report import aligned
from lamina.formats import remote_pb2 as pb
from tests import farms

WORD = "remote"
_SMOKE = 20  # targets

Make = Callable[[Repository, Path, tuple[str, ...]], Tool]
_TOOLS: dict[str, tuple[Make, tuple[str, ...]]] = {
    "lamina": (lambda r, f, w: LaminaTool(r, f, w), ()),
    "bazel": (
        lambda r, f, w: bazel.Bazel(r, f, w),
        ("--remote_download_toplevel", "--remote_upload_local_results=true"),
    ),
}


@dataclass(frozen=True, slots=True)
class Step:
    """What one build took."""

    tool: str
    what: str
    seconds: float
    ran: int  # actions that ran on this machine
    requests: int
    sent: int  # bytes to the farm
    received: int  # bytes from it
    methods: dict[str, int]


def main(words: list[str]) -> int:
    """Measure, and print a table."""
    args = _parser().parse_args(words)
    size = _SMOKE if args.smoke else args.targets
    absent = bazel.missing() if "bazel" in args.tools else ""
    if absent:
        print(f"Bazel is not measured, for lack of {absent}; to install it: {bazel.INSTALL}")
    names = [name for name in args.tools if not (absent and name == "bazel")]
    steps: list[Step] = []
    with tempfile.TemporaryDirectory(prefix="lamina-bench-", dir=args.folder) as temporary:
        folder = Path(temporary)
        for name, value in machine.describe(folder).items():
            print(f"{name:11} {value}")
        of = shape(size, mixed=True, seed=args.seed)
        try:
            with (
                farms.casd(folder / "farm") as casd,
                farms.Proxy(casd.port, change=_older) as proxy,
            ):
                for name in names:
                    steps += _measure(name, of, folder / name, proxy)
        except farms.Absent as error:
            print(f"there is no farm to measure with: {error}", file=sys.stderr)
            return 2
    print(f"\n{size} targets, half of C++, half of Python\n\n{text(steps)}")
    print(f"\nload at the end {machine.load()}")
    if args.json:
        args.json.write_text(json.dumps([asdict(step) for step in steps], indent=1) + "\n")
    return 0


def _older(method: str, data: bytes) -> bytes:
    """Let the farm say that it speaks version 2.0 too: Debian's Bazel asks for that.

    What a cache is asked is the same in 2.0 and 2.1.
    """
    if method != "GetCapabilities":
        return data
    told = pb.ServerCapabilities.FromString(data)
    told.low_api_version.minor = 0
    return told.SerializeToString()


def _measure(name: str, of: Shape, folder: Path, proxy: farms.Proxy) -> list[Step]:
    """All steps of one tool."""
    make, flags = _TOOLS[name]
    found: list[Step] = []

    def checkout(place: str) -> Tool:
        repository = Repository(folder / place / "repository", of)
        repository.write()
        return make(repository, folder / place / "tool", (*flags, f"--remote_cache={proxy.url}"))

    def step(what: str, tool: Tool) -> None:
        proxy.reset()
        begun = time.monotonic()
        built = tool.build()
        seconds = time.monotonic() - begun
        found.append(
            Step(
                tool.name, what, seconds, built.ran, proxy.requests,
                proxy.received.total(), proxy.sent.total(), dict(proxy.counts),
            )
        )  # fmt: skip
        print(f"  {tool.name}, {what}: {seconds:.2f} s, {proxy.requests} requests", flush=True)

    libraries = [each for each in of.targets if each.rule is Rule.CXX_LIBRARY]
    library = libraries[len(libraries) // 2]
    first, second, third = checkout("a"), checkout("bb/other"), checkout("c")
    try:
        step("cold: the farm has nothing", first)
        step("warm: another checkout", second)
        second.repository.edit_source(library)
        step("one source edited there", second)
        third.repository.edit_header(library)
        step("a header edited in a third checkout", third)
        step("the same again", third)
    finally:
        for tool in (first, second, third):
            tool.close()
            tool.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return found


def text(steps: list[Step]) -> str:
    """A table of all steps."""
    rows = [["", "tool", "time", "ran here", "requests", "sent", "received"]]
    rows += [
        [
            step.what, step.tool, f"{step.seconds:.2f} s", str(step.ran), str(step.requests),
            f"{step.sent / 1e6:.2f} MB", f"{step.received / 1e6:.2f} MB",
        ]
        for step in sorted(steps, key=lambda step: [each.what for each in steps].index(step.what))
    ]  # fmt: skip
    kinds = [
        f"{step.tool}, {step.what}: "
        + ", ".join(f"{count} {method}" for method, count in sorted(step.methods.items()))
        for step in steps
    ]
    return "\n".join([aligned(rows), "", *kinds])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench remote", description=__doc__)
    parser.add_argument("--targets", type=int, default=1000, help="of the repository")
    parser.add_argument("--seed", type=int, default=1, help="of its shape")
    parser.add_argument("--tools", nargs="+", choices=tuple(_TOOLS), default=tuple(_TOOLS))
    parser.add_argument("--smoke", action="store_true", help="only to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value there")
    parser.add_argument("--folder", type=Path, help="where to build (default: temporary)")
    return parser
