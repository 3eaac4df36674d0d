"""Build farms that tests start: buildbox-casd, each test one of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from lamina.store.local import LocalStore
from lamina.store.remote.service import Service
from lamina.store.remote.settings import Endpoint, Farm
from tests import farms

SOURCES = Path(__file__).parents[2] / "src"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.root)


@pytest.fixture
def casd(tmp_path: Path) -> Iterator[farms.Casd]:
    """A farm that runs."""
    if os.geteuid():
        pytest.skip("buildbox-casd runs actions with the rights of root")
    try:
        with farms.casd(tmp_path / "farm") as found:
            yield found
    except farms.Absent as absent:
        pytest.skip(str(absent))


@pytest.fixture
def proxy(casd: farms.Casd) -> Iterator[farms.Proxy]:
    """A door in front of it, which counts and fails as a test says."""
    with farms.Proxy(casd.port) as found:
        yield found


class Clients:
    """Makes clients, each with a store of its own, and closes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: list[tuple[Service, LocalStore]] = []

    def __call__(self, url: str, **settings: object) -> Service:
        farm = Farm(endpoint=Endpoint.parse(url), **{"timeout": 10.0, **settings}).checked()  # type: ignore[arg-type]
        store = LocalStore(self._folder / f"store-{len(self._open)}")
        service = Service(farm, store)
        store.upstream = service
        self._open.append((service, store))
        return service

    def close(self) -> None:
        for service, store in self._open:
            service.stop()
            store.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Clients]:
    """`client(url, cache="read")` is a client with a store of its own."""
    found = Clients(tmp_path)
    yield found
    found.close()


class Machine:
    """One that builds: a workspace, a home and a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / ("deep/" * len(folder.name)) / "w"  # each at a path of another length
        self._home = folder / "home"
        self.store = folder / "store"
        self.root.mkdir(parents=True)
        self._home.mkdir()

    def environment(self) -> dict[str, str]:
        """What programs see there."""
        return {
            **{name: value for name, value in os.environ.items() if name != "USER"},
            "USER": self._home.parent.name,
            "HOME": str(self._home),
            "LAMINA_STORE": str(self.store),
            "PYTHONPATH": str(SOURCES),
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command of lamina."""
        return subprocess.Popen(
            [sys.executable, "-m", "lamina.cli", *words],
            cwd=self.root,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def lamina(self, *words: str, code: int = 0) -> Said:
        """Run a command of lamina to its end."""
        started = self.start(*words)
        out, err = started.communicate(timeout=1200)
        assert started.returncode == code, (words, started.returncode, out, err)
        return Said(out, err)

    def write(self, files: Mapping[str, str]) -> None:
        """Put files into the workspace."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def outputs(self) -> dict[str, bytes]:
        """What was built."""
        top = self.root / "lamina-out"
        files = (
            path for path in sorted(top.rglob("*")) if path.is_file() and path.name != ".gitignore"
        )
        return {path.relative_to(top).as_posix(): path.read_bytes() for path in files}

    def blobs(self) -> int:
        """How many blobs the store has."""
        return sum(1 for _ in (self.store / "blobs").glob("*/*"))


@dataclass(frozen=True)
class Said:
    """What a command printed."""

    out: str
    err: str

    @property
    def ran(self) -> int:
        """How many actions ran."""
        return int(self.counts[1])

    @property
    def counts(self) -> re.Match[str]:
        found = re.search(
            r"(\d+) actions? run(?: \((\d+) remote\))?, (\d+) cached(?: \((\d+) remote\))?",
            self.err,
        )
        assert found, self.err
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Machine]:
    """`machine("ada")` is a machine of somebody."""
    return lambda name: Machine(tmp_path / name)
