"""A registry that fails in the ways that networks and servers do: nothing wrong is taken."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError, LaminaError, ServiceError
from lamina.core.reference import parse
from lamina.formats import oci
from lamina.store import registry, transport
from lamina.store.local import LocalStore
from lamina.store.registry import RegistryRepository
from lamina.store.repository import Manifest, NotThere, Rejected
from lamina.store.transport import Access
from tests import faults, servers
from tests.faults import Answer, Fault, Proxy

T = TypeVar("T")

DATA = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(40_000))  # 1.3 MB
BLOB = Digest.of(DATA)
LARGE = DATA * 20  # 26 MB: four pieces of an upload
CHUNK = 8 << 20


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Registry]:
    with servers.registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses as always, but shorter."""
    monkeypatch.setattr(transport, "_PAUSES", (0.01,) * 6)


@pytest.fixture
def between(running: servers.Registry) -> Iterator[Proxy]:
    with faults.proxy(running.host) as found:
        yield found


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")


@pytest.fixture
def repository(between: Proxy, name: str) -> Iterator[RegistryRepository]:
    opened = RegistryRepository(parse(f"{between.host}/faults/{name}"), Access())
    yield opened
    opened.close()


def received(repository: RegistryRepository, store: LocalStore, digest: Digest = BLOB) -> Digest:
    with store.incoming() as incoming:
        repository.fetch(digest, incoming)
        return incoming.adopt()


def manifest(config: Digest, mark: str = "") -> Manifest:
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {"mediaType": "text/plain", "digest": config.oci, "size": config.size},
        "layers": [],
        "annotations": {"mark": mark},
    }
    return Manifest(json.dumps(document).encode(), oci.MANIFEST)


def put(repository: RegistryRepository, tag: str, mark: str = "") -> Manifest:
    repository.push(Digest.of(b"{}"), b"{}")
    found = manifest(Digest.of(b"{}"), mark)
    repository.put_manifest(found, tag)
    return found


def flipped(answer: Answer) -> Answer:
    """One bit of it is another."""
    middle = len(answer.body) // 2
    body = bytearray(answer.body)
    body[middle] ^= 1
    return Answer(answer.status, answer.headers, bytes(body))


def shifted(answer: Answer) -> Answer:
    """It begins elsewhere than it says that it does not."""
    headers = {**answer.headers, "Content-Range": f"bytes 7-{len(DATA) - 1}/{len(DATA)}"}
    return Answer(answer.status, headers, answer.body)


def lying(answer: Answer) -> Answer:
    """It says that it begins where was asked for, and begins at the start."""
    return Answer(answer.status, answer.headers, DATA[: len(answer.body)])


PASSING: dict[str, Fault] = {
    "500": faults.say(500, b"oh"),
    "502": faults.say(502),
    "503": faults.say(503, Retry_After="0"),
    "429": faults.say(429, Retry_After="0"),
    "429-at-a-date": faults.say(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    "408": faults.say(408),
    "reset": faults.cut(),
    "reset-in-the-body": faults.cut(1000),
    "no-http": lambda exchange: exchange.write(b"\0\1\2\3\r\n\r\n"),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_a_fault_that_passes_is_not_seen(
    repository: RegistryRepository, between: Proxy, store: LocalStore, fault: Fault
) -> None:
    """Each request of a push and a pull meets it once, and it is the first of its kind."""
    methods = ("HEAD", "POST", "PUT", "PATCH")
    for method in methods:
        between.spoil(fault, method=method, path="/blobs/")
    between.spoil(fault, method="PUT", path="/manifests/")
    between.spoil(fault, method="GET", path="/manifests/")
    between.spoil(fault, method="GET", path="/blobs/sha256")
    between.spoil(fault, method="GET", path="/tags/")
    store.write(LARGE)
    large = Digest.of(LARGE)

    assert repository.missing([BLOB]) == {BLOB}
    repository.push(BLOB, DATA)
    repository.push(large, store.path(large))
    found = put(repository, "v1")

    assert repository.manifest("v1") == found
    assert repository.tags() == ["v1"]
    assert received(repository, store) == BLOB
    assert between.is_done


def test_a_fault_that_lasts_ends_after_some_tries(
    repository: RegistryRepository, between: Proxy
) -> None:
    between.spoil(faults.say(503), times=1000)

    with pytest.raises(ServiceError, match="503") as caught:
        repository.manifest("v1")

    assert caught.value.retryable
    assert 2 <= len(between.asked) <= 10


def test_nobody_who_listens_is_told_with_what_to_look_at(name: str) -> None:
    with pytest.raises(ServiceError, match="refused"):
        RegistryRepository(parse(f"127.0.0.1:1/{name}"), Access()).manifest("v1")


def test_a_download_goes_on_where_it_was_cut(
    repository: RegistryRepository, between: Proxy, store: LocalStore
) -> None:
    repository.push(BLOB, DATA)
    for _ in range(3):
        between.spoil(faults.cut(300_000), method="GET")

    assert received(repository, store) == BLOB

    asked = between.of("GET")
    assert len(asked) == 4
    assert all("range" in each.headers for each in asked[1:])
    assert sum(each.sent for each in asked) <= len(DATA) + 4 * (1 << 18)


def test_a_download_that_stalls_goes_on(
    repository: RegistryRepository,
    between: Proxy,
    store: LocalStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "SILENCE", 0.5)
    repository.push(BLOB, DATA)
    between.spoil(faults.stall(between, 500_000), method="GET")

    assert received(repository, store) == BLOB
    assert len(between.of("GET")) == 2


WRONG: dict[str, Callable[[Proxy], Fault]] = {
    "other-bytes": lambda _: faults.change(flipped),
    "too-many": lambda _: faults.change(
        lambda answer: Answer(answer.status, answer.headers, answer.body + b"more")
    ),
    "too-few": lambda _: faults.change(
        lambda answer: Answer(answer.status, answer.headers, answer.body[:-9])
    ),
    "endless": lambda between: faults.endless(between),
    "empty": lambda _: faults.say(200),
    "a-page": lambda _: faults.say(200, b"<html>please log in</html>", Content_Type="text/html"),
    "no-range-asked-for": lambda _: faults.change(
        lambda answer: Answer(206, {**answer.headers, "Content-Range": "bytes 7-9/10"}, b"abc")
    ),
    "packed": lambda _: faults.change(
        lambda answer: Answer(200, {**answer.headers, "Content-Encoding": "gzip"}, bytes(1 << 20))
    ),
}


@pytest.mark.parametrize("fault", WRONG.values(), ids=WRONG.keys())
def test_wrong_bytes_are_not_taken_and_a_retry_succeeds(
    repository: RegistryRepository,
    between: Proxy,
    store: LocalStore,
    fault: Callable[[Proxy], Fault],
) -> None:
    repository.push(BLOB, DATA)
    between.spoil(fault(between), method="GET", times=50)

    with pytest.raises(LaminaError), store.incoming() as incoming:
        repository.fetch(BLOB, incoming)
    assert store.missing([BLOB]) == {BLOB}
    with pytest.raises(LaminaError):
        repository.read(BLOB)
    sent = sum(each.sent for each in between.of("GET"))

    between._plans.clear()
    assert received(repository, store) == BLOB
    assert repository.read(BLOB) == DATA
    assert sent < 100 * len(DATA)  # what has no end was cut off


RESUMED: dict[str, Fault] = {
    "shifted": faults.change(shifted),
    "lying": faults.change(lying),
    "flipped": faults.change(flipped),
    "whole": lambda exchange: exchange.say(Answer(200, {}, DATA)),
    "416": faults.say(416),
    "nonsense": faults.change(
        lambda answer: Answer(206, {**answer.headers, "Content-Range": "bytes x"}, answer.body)
    ),
    "other-size": faults.change(
        lambda answer: Answer(
            206, {**answer.headers, "Content-Range": f"bytes 1000-{len(DATA)}/9"}, answer.body
        )
    ),
}


@pytest.mark.parametrize("fault", RESUMED.values(), ids=RESUMED.keys())
def test_what_goes_on_wrongly_is_made_good(
    repository: RegistryRepository, between: Proxy, store: LocalStore, fault: Fault
) -> None:
    repository.push(BLOB, DATA)
    between.spoil(faults.cut(300_000), method="GET")
    between.spoil(fault, method="GET")

    assert received(repository, store) == BLOB
    assert between.is_done


def test_wrong_bytes_before_a_fetch_are_made_good(
    repository: RegistryRepository, store: LocalStore
) -> None:
    repository.push(BLOB, DATA)

    with store.incoming() as incoming:
        incoming.write(b"wrong" * 1000)
        repository.fetch(BLOB, incoming)
        assert incoming.adopt() == BLOB


def test_a_manifest_of_other_bytes_is_not_taken(
    repository: RegistryRepository, between: Proxy
) -> None:
    first, second = put(repository, "v1", "first"), put(repository, "v2", "second")
    swapped = faults.change(lambda answer: Answer(200, answer.headers, second.data))
    for _ in range(2):
        between.spoil(swapped, method="GET")

    with pytest.raises(IntegrityError):
        repository.manifest(first.digest.oci)
    with pytest.raises(IntegrityError):
        repository.manifest("v1")  # the registry told another digest

    assert repository.manifest("v1") == first


def test_a_manifest_without_an_end_is_cut_off(
    repository: RegistryRepository, between: Proxy
) -> None:
    found = put(repository, "v1")
    between.spoil(faults.endless(between), method="GET")

    with pytest.raises(IntegrityError, match="more than"):
        repository.manifest("v1")

    assert between.of("GET")[-1].sent < 64 << 20
    assert repository.manifest("v1") == found


CUTS = {
    "answer-lost": faults.cut(),
    "nothing-arrived": faults.lose(0),
    "part-was-lost": faults.lose(3_000_000),
    "part-was-kept": faults.lose(3_000_000, told=True),
    "503": faults.say(503),
    "416": faults.say(416),
    "404": faults.say(404),
}


@pytest.mark.parametrize("fault", CUTS.values(), ids=CUTS.keys())
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_an_upload_that_breaks_off_goes_on(
    repository: RegistryRepository,
    between: Proxy,
    running: servers.Registry,
    tmp_path: Path,
    fault: Fault,
    method: str,
) -> None:
    data = LARGE + method.encode() + repository.reference.repository.encode()
    digest = Digest.of(data)
    (tmp_path / "file").write_bytes(data)
    if method == "PATCH":
        between.spoil(lambda exchange: exchange.say(exchange.ask()), method=method)  # the first
    between.spoil(fault, method=method)

    repository.push(digest, tmp_path / "file")

    assert between.is_done
    assert running.blob(digest.hash).read_bytes() == data
    # Debian's registry gives an upload up of which it has more than it told last.
    begins_anew = fault is CUTS["404"] or (
        fault in (CUTS["answer-lost"], CUTS["part-was-kept"])
        if method == "PATCH"
        else fault is CUTS["416"]
    )
    # It may still be at work on the first request when it gets the second, and spoil both.
    may_begin_anew = begins_anew or (method == "PUT" and fault is CUTS["part-was-kept"])
    moved = sum(each.received for each in between.asked)
    assert moved <= len(data) + CHUNK + (len(data) if may_begin_anew else 0)


def test_an_upload_that_was_cut_and_put_together_wrong_begins_anew(
    repository: RegistryRepository, between: Proxy, running: servers.Registry, tmp_path: Path
) -> None:
    data = LARGE + b"put together wrong"
    (tmp_path / "file").write_bytes(data)
    between.spoil(faults.lose(0), method="PUT")
    between.spoil(faults.say(400), method="PUT")

    repository.push(Digest.of(data), tmp_path / "file")

    assert [each.method for each in between.asked].count("POST") == 2
    assert running.blob(Digest.of(data).hash).read_bytes() == data


def test_an_upload_that_is_not_taken_and_was_not_cut_is_told_at_once(
    repository: RegistryRepository, between: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(LARGE)
    between.spoil(faults.say(400), method="PUT")

    with pytest.raises(Rejected):
        repository.push(Digest.of(LARGE), tmp_path / "file")

    assert [each.method for each in between.asked].count("POST") == 1


def test_a_piece_whose_answer_was_lost_is_not_sent_again(
    repository: RegistryRepository, between: Proxy, tmp_path: Path
) -> None:
    """By a registry that tells how far an upload has come."""
    (tmp_path / "file").write_bytes(LARGE)
    lost: list[Answer] = []

    def lose(exchange: faults.Exchange) -> None:
        lost.append(exchange.ask())
        exchange.cut()

    def tell(exchange: faults.Exchange) -> None:
        exchange.say(Answer(204, lost[0].headers, b""))

    between.spoil(lose, method="PATCH")
    between.spoil(tell, method="GET")

    repository.push(Digest.of(LARGE), tmp_path / "file")

    assert sum(each.received for each in between.asked) == len(LARGE)
    assert repository.missing([Digest.of(LARGE)]) == set()


def test_a_registry_that_keeps_nothing_of_an_upload_is_given_up(
    repository: RegistryRepository, between: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(LARGE)

    def forgetful(exchange: faults.Exchange) -> None:
        exchange.body()
        exchange.say(Answer(202, {"Location": exchange.asked.path, "Range": "0-0"}, b""))

    between.spoil(forgetful, method="PATCH", times=10_000)

    with pytest.raises(ServiceError):
        repository.push(Digest.of(LARGE), tmp_path / "file")
    assert len(between.of("PATCH")) < 100


def test_a_place_for_an_upload_may_be_relative_and_have_a_query(
    repository: RegistryRepository, between: Proxy
) -> None:
    def relative(answer: Answer) -> Answer:
        path = re.sub("^https?://[^/]+", "", answer.headers["Location"])
        return Answer(answer.status, {**answer.headers, "Location": path}, answer.body)

    between.spoil(faults.change(relative), method="POST")
    repository.push(BLOB, DATA)

    assert "digest=sha256:" in between.of("PUT")[0].path
    assert "_state=" in between.of("PUT")[0].path


def test_a_blob_that_another_repository_has_is_not_sent(
    repository: RegistryRepository, between: Proxy, name: str
) -> None:
    other = RegistryRepository(parse(f"{between.host}/faults/{name}/other"), Access())
    other.push(BLOB, DATA)
    before = sum(each.received for each in between.asked)

    repository.push(BLOB, DATA, mount_from=[f"faults/{name}/other"])

    assert sum(each.received for each in between.asked) == before
    assert repository.read(BLOB) == DATA
    other.close()


def test_a_mount_from_where_it_is_not_sends_it(repository: RegistryRepository, name: str) -> None:
    repository.push(BLOB, DATA, mount_from=[f"faults/{name}/nowhere"])

    assert repository.missing([BLOB]) == set()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_where_a_blob_lies_elsewhere_it_is_fetched_there(
    repository: RegistryRepository,
    between: Proxy,
    running: servers.Registry,
    store: LocalStore,
    status: int,
) -> None:
    repository.push(BLOB, DATA)
    path = f"/v2/{repository.reference.repository}/blobs/{BLOB.oci}"
    with faults.proxy(running.host) as elsewhere:
        between.spoil(faults.say(status, Location=f"http://{elsewhere.host}{path}"), method="GET")

        assert received(repository, store) == BLOB
        assert elsewhere.asked[0].path == path


def test_a_circle_of_addresses_has_an_end(repository: RegistryRepository, between: Proxy) -> None:
    between.spoil(faults.say(307, Location="/v2/"), times=1000)

    with pytest.raises(ServiceError, match="from one address to the next"):
        repository.manifest("v1")
    assert len(between.asked) < 20


@pytest.mark.parametrize(
    "address",
    ["file:///etc/passwd", "ftp://127.0.0.1/a", "https:///", "http://a:99999/", "http://[::1/"],
)
def test_an_address_that_is_none_of_a_registry_is_not_asked(
    repository: RegistryRepository, between: Proxy, address: str
) -> None:
    between.spoil(faults.say(307, Location=address), method="GET", times=1000)
    between.spoil(faults.say(202, Location=address), method="POST", times=1000)

    with pytest.raises(ServiceError):
        repository.manifest("v1")
    with pytest.raises(ServiceError):
        repository.push(BLOB, DATA)


def test_tags_come_in_pages(repository: RegistryRepository, between: Proxy) -> None:
    between.spoil(
        faults.say(200, b'{"tags": ["b"]}', Link='</v2/more?n=2&last=b>; rel="next"'), path="/tags/"
    )
    between.spoil(faults.say(200, b'{"tags": ["a", "c"]}'), path="/v2/more")

    assert repository.tags() == ["a", "b", "c"]


@pytest.mark.parametrize(
    "link",
    ['<?n=1000>; rel="next"', '<http://127.0.0.2:9/v2/>; rel="next"', '<//elsewhere/>; rel="next"'],
)
def test_pages_that_lead_astray_have_an_end(
    repository: RegistryRepository, between: Proxy, link: str
) -> None:
    between.spoil(faults.say(200, b'{"tags": ["a"]}', Link=link), times=10_000)

    with pytest.raises(ServiceError):
        repository.tags()
    assert len(between.asked) < 10


def test_pages_without_an_end_are_given_up(
    repository: RegistryRepository, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_PAGES", 20)

    def another(exchange: faults.Exchange) -> None:
        link = f'<?last={len(between.asked)}>; rel="next"'
        exchange.say(Answer(200, {"Link": link}, b'{"tags": ["a"]}'))

    between.spoil(another, times=100_000)

    with pytest.raises(ServiceError, match="no end"):
        repository.tags()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"tags": 7}', b"[" * 100_000])
def test_nonsense_for_tags_and_referrers_is_told(
    repository: RegistryRepository, between: Proxy, body: bytes
) -> None:
    between.spoil(faults.say(200, body), times=2)

    with pytest.raises(IntegrityError):
        repository.tags()
    with pytest.raises(IntegrityError):
        repository.referrers(BLOB)


def test_a_registry_that_knows_referrers_needs_no_tag_for_them(
    repository: RegistryRepository, between: Proxy
) -> None:
    subject = put(repository, "v1")
    entry = {"mediaType": oci.MANIFEST, "digest": subject.digest.oci, "size": 7}
    document = {"subject": entry, "annotations": {}, "config": entry}
    beside = Manifest(json.dumps(document).encode(), oci.MANIFEST)
    told = subject.digest.oci
    between.spoil(faults.say(201, OCI_Subject=told), method="PUT", path="/manifests/")
    index = json.dumps({"manifests": [entry]}).encode()
    between.spoil(faults.say(200, index), path="/referrers/")
    before = len(between.asked)

    repository.put_manifest(beside)
    assert repository.referrers(subject.digest) == [entry]

    assert len(between.asked) == before + 2


def test_a_manifest_that_is_not_taken_is_told_with_the_reason(
    repository: RegistryRepository,
) -> None:
    with pytest.raises(Rejected, match="blob unknown"):
        repository.put_manifest(manifest(Digest.of(b"nowhere")), "v1")
    with pytest.raises(NotThere):
        repository.manifest("v1")


def test_many_threads_and_faults_at_once(
    repository: RegistryRepository, between: Proxy, store: LocalStore
) -> None:
    blobs = [b"%d" % number * 1000 for number in range(60)]
    # Each of a blob's requests fails once at most: nobody's patience may end by bad luck.
    for data, fault in zip(blobs, [*PASSING.values()] * 3, strict=False):
        for method in ("PUT", "HEAD", "GET"):
            between.spoil(fault, method=method, path=Digest.of(data).hash)
    errors: list[BaseException] = []

    def work(data: bytes) -> None:
        try:
            repository.push(Digest.of(data), data)
            assert repository.missing([Digest.of(data)]) == set()
            assert received(repository, store, Digest.of(data)) == Digest.of(data)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(data,)) for data in blobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert between.is_done


def test_one_request_for_a_small_blob_and_two_for_its_upload(
    repository: RegistryRepository, between: Proxy
) -> None:
    repository.push(BLOB, DATA)
    repository.read(BLOB)

    assert [each.method for each in between.asked] == ["POST", "PUT", "GET"]
    assert {each.headers["user-agent"] for each in between.asked} == {"lamina"}
    assert between.asked[-1].headers["accept-encoding"] == "identity"
    assert registry._AT_ONCE <= 16


def lie(exchange: faults.Exchange, status: int) -> None:
    """All is well and nothing is there. When a registry says that it keeps something, it does."""
    answer = exchange.ask()
    exchange.say(Answer(status, {}, b"") if exchange.asked.method in ("GET", "HEAD") else answer)


ANY: list[Fault | None] = [
    None,
    *PASSING.values(),
    *CUTS.values(),
    *RESUMED.values(),
    lambda exchange: lie(exchange, 200),
    lambda exchange: lie(exchange, 204),
    faults.say(400),
    faults.say(401, WWW_Authenticate='Basic realm="x"'),
    faults.say(403),
    faults.say(307, Location="/v2/"),
    faults.change(lambda answer: Answer(answer.status, {}, answer.body)),
    faults.change(lambda answer: Answer(answer.status, answer.headers, answer.body[:-1])),
    faults.change(lambda answer: Answer(answer.status, answer.headers, answer.body * 2)),
]


@settings(
    max_examples=40,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.sampled_from(range(len(ANY))), max_size=40), st.binary(max_size=300_000))
def test_after_any_faults_in_any_order_all_is_right(
    running: servers.Registry, tmp_path: Path, order: list[int], data: bytes
) -> None:
    """Who asks again is served in the end, and never with something else."""
    with faults.proxy(running.host) as between, TemporaryDirectory(dir=tmp_path) as folder:
        for number in order:
            between.spoil(ANY[number] or (lambda exchange: exchange.say(exchange.ask())))
        unique = hashlib.sha256(folder.encode()).hexdigest()[:16]
        repository = RegistryRepository(parse(f"{between.host}/any/x{unique}"), Access())
        store, digest = LocalStore(Path(folder) / "store"), Digest.of(data)

        insist(lambda: push_all(repository, digest, data))
        found = insist(lambda: repository.manifest("v1"))
        assert insist(lambda: received(repository, store, digest)) == digest
        assert insist(lambda: repository.read(digest)) == data
        between._plans.clear()

        assert found == manifest(digest)
        assert repository.manifest("v1") == manifest(digest)
        assert repository.missing([digest]) == set()
        assert store.read(digest) == data
        store.close()
        repository.close()


def push_all(repository: RegistryRepository, digest: Digest, data: bytes) -> None:
    repository.push(digest, data)
    repository.put_manifest(manifest(digest), "v1")


def insist(work: Callable[[], T]) -> T:
    """What comes of it, once no fault is left."""
    for _ in range(100):
        try:
            return work()
        except LaminaError as error:
            last = error
    raise last
