"""Build farms that tests start: buildbox-casd, each test one of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.store.local import LocalStore
from lamina.store.remote.service import Service
from lamina.store.remote.settings import Endpoint, Farm
from tests import farms


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
