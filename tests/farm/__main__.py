"""`python -m tests.farm`: many small blobs and a large output, from one machine to another."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests import farms
from tests.farm.conftest import Machine

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def main() -> None:
    """Move them, compare, and tell how long each took."""
    parser = argparse.ArgumentParser(prog="python -m tests.farm", description=__doc__)
    parser.add_argument("--blobs", type=int, default=10_000, help="outputs of one action")
    parser.add_argument("--bytes", type=_size, default=_size("2G"), help="of another's output")
    parser.add_argument("--folder", type=Path, help="where to work (default: temporary)")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="lamina-farm-", dir=args.folder) as temporary,
        farms.casd(Path(temporary) / "farm") as casd,
        farms.Proxy(casd.port) as proxy,
    ):
        move(Path(temporary), proxy, args.blobs, args.bytes)


def move(folder: Path, proxy: farms.Proxy, blobs: int, size: int) -> None:
    """Build on one machine, find all of it on the other."""
    project = {
        "lamina.toml": "",
        "BUILD": f"""
genrule(name = "many", outs = ["many"],
        cmd = "mkdir -p $@; for n in $$(seq {blobs}); do echo blob $$n > $@/$$n; done")
genrule(name = "large", outs = ["large"],
        cmd = "head -c {size} /dev/zero | openssl enc -aes-128-ctr -K 0 -iv 0 > $@ 2>/dev/null")
""",
    }
    ada, bob = Machine(folder / "ada"), Machine(folder / "bobby")
    for machine, ran in ((ada, 2), (bob, 0)):
        machine.write(project)
        proxy.reset()
        begun = time.monotonic()
        said = machine.lamina("build", "//...", f"--remote-cache={proxy.url}", "--console", "none")
        seconds = time.monotonic() - begun
        assert said.ran == ran, said.err
        assert "warning" not in said.err, said.err
        print(f"{seconds:.1f} s, {proxy.requests} requests: {dict(proxy.counts)}", flush=True)  # noqa: T201
    for path in ("large", "many/1", f"many/{blobs}"):
        _same(ada.root / "lamina-out" / path, bob.root / "lamina-out" / path)
    assert len(list((bob.root / "lamina-out/many").iterdir())) == blobs


def _same(one: Path, other: Path) -> None:
    with one.open("rb") as first, other.open("rb") as second:
        while True:
            pieces = first.read(1 << 20), second.read(1 << 20)
            assert pieces[0] == pieces[1], one
            if not pieces[0]:
                return


def _size(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]] if text[-1] in _UNITS else int(text)


if __name__ == "__main__":
    main()
