"""Layers that a farm has go from there to a registry: nothing large of them comes to lie here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.reference import parse
from lamina.formats import remote_pb2 as pb
from lamina.store.blobs import BlobMissing
from lamina.store.repositories import open_repository
from lamina.store.transport import Access
from tests import servers
from tests.farm.conftest import Clients, Machine
from tests.farms import Casd, Proxy

Machines = Callable[[str], Machine]

LARGE = 20 << 20  # bytes: more than two pieces of an upload
BUILD = f"""
genrule(name = "random", outs = ["random"],
        cmd = "head -c {LARGE} /dev/zero | openssl enc -aes-128-ctr -K 0 -iv 0 > $@ 2>/dev/null")
py_library(name = "data", resources = [":random"])
py_binary(name = "main", srcs = ["main.py"], deps = [":data"])
"""
MAIN = "import os\nprint(os.path.getsize(os.path.join(os.path.dirname(__file__), 'random')))\n"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Registry]:
    with servers.registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


def made(machine: Machine) -> Machine:
    machine.write({"lamina.toml": "[workspace]\n", "BUILD": BUILD, "main.py": MAIN})
    return machine


@pytest.fixture
def ada(machine: Machines, casd: Casd) -> Machine:
    """One who has built the package with the farm."""
    found = made(machine("ada"))
    found.lamina("package", "//:main", f"--remote-cache={casd.url}", "-q")
    return found


@pytest.fixture
def bob(machine: Machines) -> Machine:
    """Another one, who has nothing yet."""
    return made(machine("bobby"))


def push(machine: Machine, farm: Casd | Proxy, place: str, *words: str) -> dict[str, object]:
    words = ("push", "//:main", place, "--json", f"--remote-cache={farm.url}", *words)
    found: dict[str, object] = json.loads(machine.lamina(*words, "--remote-timeout=5").out)
    return found


def largest(machine: Machine) -> int:
    """Bytes of the largest file in its store."""
    return max(path.stat().st_size for path in machine.store.rglob("*") if path.is_file())


def runs(machine: Machine, reference: object) -> bool:
    """Whether a third one can run what was pushed."""
    return machine.lamina("exec", "--plain-http", str(reference)).out == f"{LARGE}\n"


def test_a_layer_goes_from_the_farm_to_the_registry(
    proxy: Proxy, registry: servers.Registry, ada: Machine, bob: Machine, machine: Machines
) -> None:
    proxy.reset()
    place = f"{registry.host}/bob/main"

    pushed = push(bob, proxy, place, "--plain-http")

    assert largest(bob) < LARGE // 10
    assert proxy.counts["Read"] >= 3  # a piece each
    assert LARGE < proxy.sent["Read"] < 1.1 * LARGE
    assert ada.store != bob.store
    assert runs(machine("carl_o"), pushed["reference"])


def test_what_the_registry_has_is_not_moved(
    proxy: Proxy, registry: servers.Registry, ada: Machine, bob: Machine
) -> None:
    place = f"{registry.host}/both/main"
    first = push(ada, proxy, place, "--plain-http")
    proxy.reset()

    second = push(bob, proxy, place, "--plain-http")

    third = push(bob, proxy, place, "--plain-http")  # when it knows what was pushed
    assert second["digest"] == third["digest"] == first["digest"]
    assert second["blobs"] == third["blobs"] == 0
    assert proxy.counts["Read"] == 0

    bob.write({"main.py": f"{MAIN}# edited\n"})
    assert push(bob, proxy, place, "--plain-http")["layers"] == 1
    assert proxy.counts["Read"] == 0
    assert largest(bob) < LARGE // 10


def test_a_layer_goes_into_a_folder_in_oci_layout(
    casd: Casd, ada: Machine, bob: Machine, tmp_path: Path, machine: Machines
) -> None:
    pushed = push(bob, casd, f"oci:{tmp_path}/layout")

    assert largest(bob) < LARGE // 10
    assert runs(machine("carl_o"), f"oci:{tmp_path}/layout@{pushed['digest']}")


@pytest.mark.parametrize("fault", ["lost", "wrong", "killed"])
def test_what_the_farm_does_not_give_is_made_here(
    casd: Casd,
    proxy: Proxy,
    registry: servers.Registry,
    ada: Machine,
    bob: Machine,
    machine: Machines,
    fault: str,
) -> None:
    def before(method: str, number: int, _headers: object) -> None:
        if method == "Read" and number == 2 and fault != "wrong":
            casd.forget() if fault == "lost" else casd.kill()

    def change(method: str, data: bytes) -> bytes:
        if method != "Read" or fault != "wrong":
            return data
        answer = pb.ReadResponse.FromString(data)
        return pb.ReadResponse(data=answer.data[::-1]).SerializeToString()

    proxy.before, proxy.change = before, change
    pushed = push(bob, proxy, f"{registry.host}/{fault}/main", "--plain-http", "--remote-retries=1")

    assert proxy.counts["Read"] >= 2
    assert runs(machine("carl_o"), pushed["reference"])


def test_a_package_that_was_pushed_from_afar_can_be_packaged_here(
    casd: Casd, registry: servers.Registry, ada: Machine, bob: Machine
) -> None:
    farm = f"--remote-cache={casd.url}"
    push(bob, casd, f"{registry.host}/later/main", "--plain-http")

    assert bob.lamina("run", "//:main", farm, "-q").out == f"{LARGE}\n"
    assert bob.lamina("run", "main", "-q").out == f"{LARGE}\n"


def test_a_piece_that_the_registry_loses_is_read_again(
    client: Clients, casd: Casd, registry: servers.Registry
) -> None:
    data = os.urandom(LARGE)
    digest = Digest.of(data)
    service, other = client(casd.url), client(casd.url)
    service.uploads.ensure({digest: data})

    with other.store.source(digest).open("rb") as reader:
        first = reader.read(8 << 20)
        reader.seek(4 << 20)
        rest = reader.read(8 << 20) + reader.read()

    assert first + rest[4 << 20 :] == data
    assert rest == data[4 << 20 :]


def test_a_blob_passes_through_to_a_repository(
    client: Clients, proxy: Proxy, registry: servers.Registry
) -> None:
    data = os.urandom(LARGE)
    digest = Digest.of(data)
    client(proxy.url).uploads.ensure({digest: data})
    far = client(proxy.url)
    repository = open_repository(parse(f"{registry.host}/through"), Access(plain_http=True))
    proxy.cut["Read"] = 2

    repository.push(digest, far.store.source(digest))
    repository.close()

    assert registry.blob(digest.hash).read_bytes() == data
    assert far.store.far([digest]) == {digest}


def test_wrong_bytes_do_not_get_into_a_registry(
    client: Clients, casd: Casd, proxy: Proxy, registry: servers.Registry
) -> None:
    data = os.urandom(LARGE)
    digest = Digest.of(data)
    client(casd.url).uploads.ensure({digest: data})

    def change(method: str, message: bytes) -> bytes:
        if method != "Read":
            return message
        answer = pb.ReadResponse.FromString(message)
        return pb.ReadResponse(data=answer.data[::-1]).SerializeToString()

    proxy.change = change
    far = client(proxy.url)
    repository = open_repository(parse(f"{registry.host}/wrong"), Access(plain_http=True))

    with pytest.raises(BlobMissing):
        repository.push(digest, far.store.source(digest))
    repository.close()

    assert not registry.blob(digest.hash).exists()
    assert far.careful


def test_a_job_runs_what_went_from_the_farm_to_the_registry(
    proxy: Proxy, registry: servers.Registry, ada: Machine, bob: Machine
) -> None:
    lamina = Path(sys.executable).with_name("lamina")
    bob.write(
        {
            "lamina.toml": f"""
[cluster.lab]
launcher = "local"
lamina = "{lamina}"
container = "never"
registry = "{registry.host}/jobs"
"""
        }
    )
    proxy.reset()

    farm = f"--remote-cache={proxy.url}"
    said = bob.lamina("submit", "//:main", "--on=lab", "--follow", farm)

    assert f"{LARGE}\n" in said.out
    assert LARGE < proxy.sent["Read"] < 1.1 * LARGE
    assert "pushed" in said.err
