"""The client of a farm against a real one, with and without faults on the way."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import grpc
import pytest

from lamina.core.action import Action
from lamina.core.cancellation import Ended
from lamina.core.digest import EMPTY, Digest
from lamina.core.errors import IntegrityError
from lamina.core.tree import File, Folder, Node, Symlink
from lamina.formats import reapi
from lamina.formats import remote_pb2 as pb
from lamina.store import trees
from lamina.store.blobs import BlobMissing
from lamina.store.remote import results
from lamina.store.remote.errors import Absent, FarmError, FarmGone, FarmRefuses, Stopped
from lamina.store.remote.execution import TookTooLong, TooSlow
from lamina.store.remote.service import Service
from lamina.store.remote.waiting import Waiting
from tests.farm.conftest import Clients
from tests.farms import Casd, Failure, Proxy, secured
from tests.servers import make_tls

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def shell(command: str, *outputs: str, timeout: float = 0.0) -> Action:
    arguments = ("/bin/sh", "-ec", command)
    return Action("Shell", "//p:x", arguments, (), outputs, timeout=timeout)


def sent(service: Service, action: Action, tree: dict[str, Node]) -> Digest:
    """Put an action with its inputs into the farm."""
    root, directories = trees.encode(tree)
    path = [("PATH", "/usr/bin:/bin")]
    command, message = reapi.encode_action(action, root, path, run=reapi.Execution())
    blobs: dict[Digest, bytes | None] = {Digest.of(d): d for d in (*directories, command, message)}
    blobs |= {node.digest: None for node in tree.values() if isinstance(node, File)}
    service.uploads.ensure(blobs)
    return Digest.of(message)


def test_thousands_of_small_blobs_go_in_a_few_requests(client: Clients, proxy: Proxy) -> None:
    blobs: dict[Digest, bytes | None] = {}
    for number in range(3000):
        data = f"blob {number}".encode()
        blobs[Digest.of(data)] = data
    one, other = client(proxy.url), client(proxy.url)

    one.uploads.ensure(blobs)
    other.store.fetch(blobs)

    assert all(other.store.read(digest) == data for digest, data in blobs.items())
    assert proxy.counts["FindMissingBlobs"] <= 3
    assert proxy.counts["BatchUpdateBlobs"] <= 3
    assert proxy.counts["BatchReadBlobs"] <= 3


def test_what_the_farm_has_is_not_sent_again(client: Clients, proxy: Proxy) -> None:
    data = os.urandom(5 << 20)
    one, other = client(proxy.url), client(proxy.url)
    one.uploads.ensure({Digest.of(data): data})
    before = proxy.received["Write"]

    other.uploads.ensure({Digest.of(data): data})
    other.uploads.ensure({Digest.of(data): data})

    assert proxy.received["Write"] == before > len(data)
    assert proxy.counts["FindMissingBlobs"] == 2


def test_a_large_blob_that_is_cut_on_its_way_here_goes_on(client: Clients, proxy: Proxy) -> None:
    data = os.urandom(20 << 20)
    one, other = client(proxy.url), client(proxy.url)
    one.uploads.ensure({Digest.of(data): data})
    proxy.cut["Read"] = 4

    other.store.fetch([Digest.of(data)])

    assert other.store.read(Digest.of(data)) == data
    assert proxy.counts["Read"] == 2
    assert proxy.sent["Read"] < 1.5 * len(data)


def test_a_large_blob_that_is_cut_on_its_way_there_arrives(client: Clients, proxy: Proxy) -> None:
    data = os.urandom(20 << 20)
    service = client(proxy.url)
    proxy.cut["Write"] = 4

    service.uploads.ensure({Digest.of(data): data})

    assert service.cas.missing([Digest.of(data)]) == set()
    assert proxy.counts["QueryWriteStatus"] == 1


def test_wrong_bytes_are_noticed_and_count_as_missing(client: Clients, proxy: Proxy) -> None:
    service = client(proxy.url)
    digest = service.cas.write(b"right")
    proxy.change = lambda method, data: data.replace(b"right", b"wrong")

    with pytest.raises(IntegrityError):
        service.cas.read(digest)
    with pytest.raises(BlobMissing):
        service.store.read(digest)
    assert "wrong bytes" in service.failures[0]
    assert service.careful


def test_a_damaged_large_blob_never_gets_into_the_store(client: Clients, proxy: Proxy) -> None:
    data = os.urandom(6 << 20)
    service = client(proxy.url)
    service.cas.write(data)
    proxy.change = lambda method, message: message[:-1] + b"\0" if method == "Read" else message

    with pytest.raises(BlobMissing):
        service.store.fetch([Digest.of(data)])
    assert not service.store.has(Digest.of(data))


def test_the_empty_blob_needs_no_request(client: Clients, proxy: Proxy) -> None:
    service = client(proxy.url)

    assert service.cas.missing([EMPTY]) == set()
    assert service.cas.read(EMPTY) == b""
    assert proxy.counts["FindMissingBlobs"] == proxy.counts["BatchReadBlobs"] == 0


def test_a_tree_of_the_farm_is_read_as_a_whole(client: Clients, casd: Casd) -> None:
    service = client(casd.url)
    tree: dict[str, Node] = {"a/b/c": File(EMPTY), "a/d": Symlink("b"), "e": Folder()}
    root, blobs = trees.encode(tree)
    service.uploads.ensure({Digest.of(data): data for data in blobs})

    found = service.cas.tree(root)

    assert found == {Digest.of(data): data for data in blobs}
    with pytest.raises((Absent, FarmError)):
        service.cas.tree(Digest.of(b"no tree"))


def test_a_result_reads_back(client: Clients, casd: Casd) -> None:
    service = client(casd.url)
    action, digest = shell("", "a"), service.cas.write(b"an action")
    node = File(service.cas.write(b"output"), executable=True)
    outputs: list[tuple[str, Node]] = [("a", node), ("f/g", Folder()), ("l", Symlink("a"))]
    message, blobs = results.message(outputs, b"warned")
    service.uploads.ensure(blobs)

    assert service.results.get(digest, action) is None
    service.results.put(digest, message, action)

    kept = service.results.get(digest, action)
    assert kept is not None
    found = service.results.read(kept)
    assert dict(found.outputs) == {"a": node, "f/g": Folder(), "l": Symlink("a")}
    assert found.stderr == b"warned"


def test_outputs_that_come_with_a_result_need_no_request(client: Clients, proxy: Proxy) -> None:
    service = client(proxy.url)
    right, wrong = Digest.of(b"right"), Digest.of(b"other")
    message, _ = results.message([("a", File(right)), ("b", File(wrong))])
    for file in message.output_files:
        file.contents = b"right"

    service.results.read(message)

    assert service.store.read(right) == b"right"
    assert proxy.counts["BatchReadBlobs"] == 0
    with pytest.raises(BlobMissing):
        service.store.read(wrong)


def test_a_folder_of_many_files_is_kept_as_a_tree(client: Clients, casd: Casd) -> None:
    service = client(casd.url)
    action, digest = shell("", "many"), service.cas.write(b"an action")
    one = service.cas.write(b"one")
    outputs: list[tuple[str, Node]] = [
        (f"many/{number % 7}/{number}", File(one, executable=number % 2 == 0))
        for number in range(5000)
    ]
    outputs += [("many/none", Folder()), ("other", File(EMPTY))]
    message, blobs = results.message(outputs, folders=("many", "other"))
    service.uploads.ensure(blobs)
    service.results.put(digest, message, action)

    kept = service.results.get(digest, action)

    assert kept is not None
    assert message.ByteSize() < 1000
    assert dict(service.results.read(kept).outputs) == dict(outputs)


def test_the_farm_runs_an_action(client: Clients, casd: Casd) -> None:
    service = client(casd.url, execution=True)
    name = File(service.store.write(b"world"), executable=False)
    command = (
        "printf 'hello %s' \"$(cat name)\" > out/a; mkdir -p out/d/e; ln -s x out/d/l; echo hm >&2"
    )
    action = shell(command, "a", "d")
    digest = sent(service, action, {"name": name})

    first = service.execution.run(digest, action)
    again = service.execution.run(digest, action)

    found = service.results.read(first.result)
    outputs = dict(found.outputs)
    assert (first.cached, again.cached) == (False, True)
    assert outputs.keys() == {"a", "d/e", "d/l"}
    assert (outputs["d/e"], outputs["d/l"]) == (Folder(), Symlink("x"))
    assert isinstance(outputs["a"], File)
    assert service.store.read(outputs["a"].digest) == b"hello world"
    assert found.stderr == b"hm\n"


def test_a_command_that_fails_is_a_result_with_its_words(client: Clients, casd: Casd) -> None:
    service = client(casd.url, execution=True)
    action = shell("echo bad >&2; exit 3", "a")

    found = service.results.read(service.execution.run(sent(service, action, {}), action).result)

    assert (found.exit_code, found.stderr, found.outputs) == (3, b"bad\n", ())


def test_an_action_that_takes_too_long_is_ended(client: Clients, casd: Casd) -> None:
    service = client(casd.url, execution=True)
    action = shell("sleep 30", "a", timeout=0.5)

    with pytest.raises(TookTooLong):
        service.execution.run(sent(service, action, {}), action)


def test_an_answer_that_is_cut_is_waited_for(client: Clients, proxy: Proxy) -> None:
    service = client(proxy.url, execution=True)
    action = shell("sleep 0.5; echo made > out/a", "a")
    proxy.cut["Execute"] = 1

    executed = service.execution.run(sent(service, action, {}), action)

    assert executed.result.exit_code == 0
    assert proxy.counts["Execute"] == 1
    assert proxy.counts["WaitExecution"] >= 1


def test_an_operation_that_the_farm_has_forgotten_begins_anew(
    client: Clients, proxy: Proxy
) -> None:
    service = client(proxy.url, execution=True)
    action = shell("sleep 0.3; echo made > out/a", "a")
    proxy.cut["Execute"] = 1

    def before(method: str, number: int, _headers: object) -> None:
        if method == "WaitExecution":
            raise Failure(grpc.StatusCode.NOT_FOUND)

    proxy.before = before

    assert service.execution.run(sent(service, action, {}), action).result.exit_code == 0
    assert proxy.counts["Execute"] == 2


def test_an_action_that_no_worker_takes_is_given_up(client: Clients, proxy: Proxy) -> None:
    service = client(proxy.url, execution=True, queue_timeout=0.5)
    action = shell("sleep 5; echo made > out/a", "a")
    digest = sent(service, action, {})

    def change(method: str, data: bytes) -> bytes:
        if method != "Execute":
            return data
        operation = pb.Operation.FromString(data)
        queued = pb.ExecuteOperationMetadata(stage=2)
        operation.metadata.CopyFrom(pb.Any(value=queued.SerializeToString()))
        return operation.SerializeToString()

    proxy.change = change

    with pytest.raises(TooSlow):
        service.execution.run(digest, action)
    assert proxy.counts["CancelOperation"] == 1


def test_inputs_that_are_not_there_are_named(client: Clients, casd: Casd) -> None:
    service = client(casd.url, execution=True)
    action = shell("cat name > out/a", "a")
    name = File(service.store.write(b"world"))
    digest = sent(service, action, {"name": name})
    casd.forget()

    with pytest.raises(Absent):
        service.execution.run(digest, action)


def test_a_request_is_repeated_until_the_farm_is_back(client: Clients, proxy: Proxy) -> None:
    service = client(proxy.url)
    service.check()

    def before(method: str, number: int, _headers: object) -> None:
        if method == "FindMissingBlobs" and number <= 3:
            raise Failure(UNAVAILABLE)

    proxy.before = before

    assert service.cas.missing([Digest.of(b"a")]) == {Digest.of(b"a")}
    assert proxy.counts["FindMissingBlobs"] == 4


def test_a_pause_that_the_farm_asks_for_is_kept(client: Clients, proxy: Proxy) -> None:
    service = client(proxy.url)
    service.check()
    info = pb.RetryInfo(retry_delay=pb.Duration(nanos=700_000_000))
    detail = pb.Any(
        type_url="type.googleapis.com/google.rpc.RetryInfo", value=info.SerializeToString()
    )
    status = pb.Status(code=8, details=[detail]).SerializeToString()
    times: list[float] = []

    def before(method: str, number: int, _headers: object) -> None:
        if method == "FindMissingBlobs":
            times.append(time.monotonic())
            if number == 1:
                trailing = (("grpc-status-details-bin", status),)
                raise Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, trailing=trailing)

    proxy.before = before
    service.cas.missing([Digest.of(b"a")])

    assert times[1] - times[0] >= 0.7


def test_a_farm_that_keeps_failing_is_left_alone(client: Clients, proxy: Proxy) -> None:
    service = client(proxy.url, retries=0)
    service.check()

    def before(method: str, number: int, _headers: object) -> None:
        raise Failure(UNAVAILABLE)

    proxy.before = before
    for _ in range(3):
        with pytest.raises(FarmError):
            service.cas.missing([Digest.of(b"a")])
    asked = proxy.requests

    with pytest.raises(FarmGone):
        service.cas.missing([Digest.of(b"a")])
    assert proxy.requests == asked


def test_a_farm_that_hangs_is_given_up_in_time(client: Clients, proxy: Proxy) -> None:
    service = client(proxy.url, timeout=0.5)
    service.check()
    ended = threading.Event()

    def before(method: str, number: int, _headers: object) -> None:
        ended.wait(20)

    proxy.before = before
    try:
        with pytest.raises(FarmError, match="DEADLINE_EXCEEDED"):
            service.cas.missing([Digest.of(b"a")])
    finally:
        ended.set()


def test_requests_that_are_waited_for_can_be_ended(client: Clients, proxy: Proxy) -> None:
    service = client(proxy.url, execution=True)
    action = shell("sleep 30", "a")
    digest = sent(service, action, {})
    ended: list[BaseException] = []

    def run() -> None:
        try:
            service.execution.run(digest, action)
        except (Stopped, FarmError) as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not proxy.counts["Execute"]:
        time.sleep(0.01)
    service.cancel()
    thread.join(10)

    assert not thread.is_alive()
    assert isinstance(ended[0], Stopped)


def test_one_wait_can_be_ended_and_others_go_on(client: Clients, proxy: Proxy) -> None:
    service = client(proxy.url, execution=True)
    long, short = shell("sleep 30", "a"), shell("sleep 2; touch out/b", "b")
    waiting = Waiting()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            service.execution.run(sent(service, long, {}), long, waiting=waiting)
        except (Ended, FarmError) as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while waiting.is_queued:
        time.sleep(0.01)
    threading.Timer(0.5, waiting.end).start()
    executed = service.execution.run(sent(service, short, {}), short)
    thread.join(10)

    assert not thread.is_alive()
    assert isinstance(ended[0], Ended)
    assert proxy.counts["CancelOperation"] == 1
    assert executed.result.exit_code == 0


@pytest.mark.parametrize("method", ["GetActionResult", "FindMissingBlobs"])
def test_a_request_that_hangs_is_left(client: Clients, proxy: Proxy, method: str) -> None:
    service = client(proxy.url, execution=True)
    assert service.can.updates
    released, asked, waiting = threading.Event(), threading.Event(), Waiting()

    def before(name: str, _number: int, _headers: object) -> None:
        if name == method:
            asked.set()
            released.wait(60)

    def end() -> None:
        asked.wait(60)
        waiting.end()

    proxy.before = before
    thread = threading.Thread(target=end)
    thread.start()
    with pytest.raises(Ended):
        if method == "GetActionResult":
            service.results.get(Digest.of(b"x"), shell("true"), waiting)
        else:
            service.uploads.ensure({Digest.of(b"x"): b"x"}, waiting)
    thread.join()

    assert not released.is_set()
    released.set()


def test_tls_needs_the_authority_and_shows_a_certificate(
    client: Clients, casd: Casd, tmp_path: Path
) -> None:
    tls = make_tls(tmp_path / "tls")
    with secured(casd.port, tls, clients=True) as url:
        trusted = {"ca": str(tls.ca)}
        shown = {"certificate": str(tls.client), "key": str(tls.client_key)}

        client(url, **trusted, **shown).check()
        assert client(url, **trusted, **shown).cas.missing([EMPTY]) == set()
        with pytest.raises(FarmRefuses, match="CERTIFICATE_VERIFY_FAILED"):
            client(url).check()
        with pytest.raises(FarmError):
            client(url, **trusted, timeout=1.0, fallback=False).check()


def test_a_token_goes_with_each_request_and_is_asked_for_anew(
    client: Clients, proxy: Proxy, tmp_path: Path
) -> None:
    helper = tmp_path / "helper"
    helper.write_text(
        "#!/bin/sh\ncat >> asked; echo >> asked\n"
        'echo "{\\"headers\\": {\\"Authorization\\": [\\"Bearer $(wc -l < asked)\\"]}}"\n'
    )
    helper.chmod(0o755)
    seen: list[str] = []

    def before(method: str, number: int, headers: object) -> None:
        assert isinstance(headers, dict)
        seen.append(headers.get("authorization", ""))
        if headers.get("authorization") == "Bearer 1" and method != "GetCapabilities":
            raise Failure(grpc.StatusCode.UNAUTHENTICATED)

    proxy.before = before
    service = client(proxy.url, credential_helper=str(helper), root=tmp_path)
    service.check()
    service.cas.missing([Digest.of(b"a")])

    assert seen[0] == "Bearer 1"
    assert seen[-1] == "Bearer 2"
    assert '{"uri": "https://127.0.0.1:' in (tmp_path / "asked").read_text()


def test_who_is_not_let_in_is_told_what_to_do(client: Clients, proxy: Proxy) -> None:
    def before(method: str, number: int, _headers: object) -> None:
        raise Failure(grpc.StatusCode.UNAUTHENTICATED, "who are you")

    proxy.before = before
    with pytest.raises(FarmRefuses, match="UNAUTHENTICATED: who are you") as caught:
        client(proxy.url).check()

    assert "token_file" in (caught.value.hint or "")


def test_a_server_that_is_no_farm_is_told_as_such(client: Clients, proxy: Proxy) -> None:
    proxy.change = lambda method, data: b"" if method == "GetCapabilities" else data

    with pytest.raises(FarmRefuses, match=r"speaks version 0\.0"):
        client(proxy.url).check()


def test_a_farm_without_execution_is_told_as_such(client: Clients, proxy: Proxy) -> None:
    def change(method: str, data: bytes) -> bytes:
        told = pb.ServerCapabilities.FromString(data)
        told.execution_capabilities.exec_enabled = False
        return told.SerializeToString()

    proxy.change = change
    with pytest.raises(FarmRefuses, match="runs no actions"):
        client(proxy.url, execution=True).check()


def test_what_nobody_waits_for_goes_together(client: Clients, proxy: Proxy) -> None:
    service = client(proxy.url)
    for number in range(50):
        data = f"blob {number}".encode()
        service.uploads.later({Digest.of(data): data}, lambda: None)
    service.close()

    assert proxy.counts["FindMissingBlobs"] == proxy.counts["BatchUpdateBlobs"] == 1
