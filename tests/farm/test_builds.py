"""Builds over a real farm, as people type them; with faults at chosen moments."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from lamina.formats import remote_pb2 as pb
from tests.farm.__main__ import move
from tests.farm.conftest import Machine
from tests.farms import Casd, Failure, Proxy, free_port, secured
from tests.servers import make_tls

Machines = Callable[[str], Machine]

PROJECT = {
    "lamina.toml": '[workspace]\nname = "p"\n',
    "BUILD": """
cc_library(name = "low", srcs = ["low.cc"], hdrs = ["low.h", "other.h"])
cc_binary(name = "top", srcs = ["top.cc"], deps = [":low"])
genrule(name = "a", srcs = ["a.txt"], outs = ["a.out"], cmd = "sort $(SRCS) > $@")
genrule(name = "b", srcs = [":a"], outs = ["b.out"], cmd = "cat $(SRCS) $(SRCS) > $@")
genrule(name = "c", srcs = [":b"], outs = ["c.out"], cmd = "wc -l < $(SRCS) > $@")
py_library(name = "py", srcs = ["py.py"])
py_binary(name = "main", srcs = ["main.py"], deps = [":py"])
""",
    "low.h": "int low();\n",
    "other.h": "// nobody includes it\n",
    "low.cc": '#include "low.h"\nint low() { return 3; }\n',
    "top.cc": '#include "low.h"\nint main() { return low() - 3; }\n',
    "a.txt": "b\na\n",
    "py.py": "WORD = 'hello'\n",
    "main.py": "import py\nprint(py.WORD)\n",
}
ALL = ("build", "//...", "--console", "none")


@pytest.fixture
def ada(machine: Machines) -> Machine:
    """A machine with the project."""
    made = machine("ada")
    made.write(PROJECT)
    return made


@pytest.fixture
def bob(machine: Machines) -> Machine:
    """Another one, at another path, of another user."""
    made = machine("bobby")
    made.write(PROJECT)
    return made


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the project gives without a farm."""
    made = Machine(tmp_path_factory.mktemp("alone"))
    made.write(PROJECT)
    made.lamina(*ALL)
    return made.outputs()


def cache(farm: Casd | Proxy) -> tuple[str, ...]:
    return (*ALL, f"--remote-cache={farm.url}", "--remote-timeout=5")


def execution(farm: Casd | Proxy) -> tuple[str, ...]:
    return (*ALL, f"--remote-executor={farm.url}", "--remote-timeout=5")


def test_a_second_checkout_finds_everything_and_runs_nothing(
    casd: Casd, ada: Machine, bob: Machine
) -> None:
    first = ada.lamina(*cache(casd))
    second = bob.lamina(*cache(casd))

    assert first.ran > 5
    assert second.ran == 0
    assert second.counts[4] == str(first.ran)
    assert bob.outputs() == ada.outputs()


def test_a_second_checkout_runs_what_differs_alone(casd: Casd, ada: Machine, bob: Machine) -> None:
    ada.lamina(*cache(casd))
    bob.write({"other.h": "// changed, and read by nobody\n", "a.txt": "c\n"})

    assert bob.lamina(*cache(casd)).ran == 3  # a, b and c
    assert (bob.root / "lamina-out" / "b.out").read_text() == "c\nc\n"


def test_a_farm_gives_the_same_bytes(casd: Casd, ada: Machine, alone: dict[str, bytes]) -> None:
    said = ada.lamina(*execution(casd))

    assert int(said.counts[2]) >= 6  # compiles, links, genrules
    assert ada.outputs() == alone


def test_what_a_farm_made_another_checkout_finds(casd: Casd, ada: Machine, bob: Machine) -> None:
    ada.lamina(*execution(casd))

    assert bob.lamina(*execution(casd)).ran == 0
    assert bob.outputs() == ada.outputs()


def test_what_nothing_here_needs_stays_in_the_farm(
    casd: Casd, ada: Machine, bob: Machine, machine: Machines
) -> None:
    carl = machine("carl_o")
    carl.write(PROJECT)
    target = ("build", "//:c", "--console", "none", f"--remote-cache={casd.url}")

    ada.lamina(*target)
    bob.lamina(*target)
    carl.lamina(*target, "--remote-download-all")

    # a.txt and what was made of it; c.out; all that was made
    assert (ada.blobs(), bob.blobs(), carl.blobs()) == (4, 1, 3)


def test_a_build_goes_on_without_the_farm_that_has_its_outputs(
    casd: Casd, ada: Machine, bob: Machine
) -> None:
    ada.lamina(*cache(casd))
    bob.lamina(*cache(casd))
    casd.kill()
    bob.write({"top.cc": '#include "low.h"\nint main() { return low() - 4; }\n'})

    bob.lamina(*ALL, "--no-remote")

    assert bob.outputs().keys() == ada.outputs().keys()
    ada.write({"top.cc": '#include "low.h"\nint main() { return low() - 4; }\n'})
    ada.lamina(*ALL)
    assert bob.outputs() == ada.outputs()


def test_the_next_build_of_the_same_needs_no_request(proxy: Proxy, ada: Machine) -> None:
    ada.lamina(*cache(proxy))
    asked = proxy.requests

    ada.lamina(*cache(proxy))

    assert proxy.requests == asked


def test_a_cache_that_is_only_read_is_not_written(casd: Casd, proxy: Proxy, ada: Machine) -> None:
    ada.lamina(*cache(proxy), "--noremote_upload_local_results")

    assert not {"UpdateActionResult", "BatchUpdateBlobs"} & proxy.counts.keys()


def test_a_failing_action_tells_the_same_from_the_farm(casd: Casd, ada: Machine) -> None:
    ada.write({"BUILD": 'genrule(name = "x", outs = ["x"], cmd = "echo woe >&2; exit 4")'})

    here = ada.lamina(*ALL, code=1)
    there = ada.lamina(*execution(casd), code=1)

    assert "Genrule x failed with exit code 4\nwoe" in here.err
    assert here.err.partition("build failed")[0] == there.err.partition("build failed")[0]


def test_a_test_that_fails_is_not_kept_by_the_farm(casd: Casd, ada: Machine, bob: Machine) -> None:
    files = {
        "BUILD": 'sh_test(name = "good", srcs = ["good.sh"])\n'
        'sh_test(name = "bad", srcs = ["bad.sh"])\n',
        "good.sh": "#!/bin/sh\nexit 0\n",
        "bad.sh": "#!/bin/sh\nexit 1\n",
    }
    words = ("test", "//...", f"--remote-executor={casd.url}", "--json")
    for machine in (ada, bob):
        machine.write(files)
        for name in ("good.sh", "bad.sh"):
            (machine.root / name).chmod(0o755)
    ada.lamina(*words, code=1)

    again = json.loads(bob.lamina(*words, code=1).out)

    cached = {test["label"]: test["cached"] for test in again["tests"]}
    assert cached == {"//:bad": False, "//:good": True}


def test_a_test_whose_log_the_farm_has_lost_is_tried_again(
    casd: Casd, proxy: Proxy, ada: Machine, bob: Machine
) -> None:
    files = {"BUILD": 'sh_test(name = "t", srcs = ["t.sh"])', "t.sh": "#!/bin/sh\nexit 0\n"}
    for each in (ada, bob):
        each.write(files)
        (each.root / "t.sh").chmod(0o755)
    ada.lamina("test", "//...", f"--remote-cache={casd.url}")

    def before(method: str, number: int, _headers: object) -> None:
        if method == "BatchReadBlobs" and number == 1:
            casd.forget()

    proxy.before = before
    bob.lamina("test", "//...", f"--remote-cache={proxy.url}")

    assert (bob.root / "lamina-out" / "testlogs" / "t" / "test.log").exists()


def test_run_starts_the_program_of_a_package_that_the_farm_made(
    casd: Casd, ada: Machine, bob: Machine
) -> None:
    words = ("run", "//:main", f"--remote-executor={casd.url}", "-q")

    assert ada.lamina(*words).out == "hello\n"
    assert bob.lamina(*words).out == "hello\n"


def test_why_compares_what_two_machines_did(casd: Casd, ada: Machine, bob: Machine) -> None:
    bob.write({"a.txt": "c\n", "low.h": "int low(); int more();\n"})
    bob.write({"BUILD": PROJECT["BUILD"].replace("sort $(SRCS)", "sort -r $(SRCS)")})
    digests: dict[str, list[str]] = {"//:a": [], "//:low": []}
    for machine in (ada, bob):
        machine.lamina(*cache(casd))
        for target, found in digests.items():
            lines = machine.lamina("why", target).out.splitlines()
            found.append(next(line.split()[1] for line in lines if "  digest " in line))

    rule = bob.lamina("why", *digests["//:a"], f"--remote-cache={casd.url}").out
    compile_ = bob.lamina("why", *digests["//:low"], f"--remote-cache={casd.url}").out

    assert "input a.txt changed" in rule
    assert "sort -r a.txt" in rule
    assert compile_.startswith("input low.h changed")
    assert len(compile_.splitlines()) == 1


def test_tls_with_a_token_from_a_file_as_lamina_toml_says(
    casd: Casd, ada: Machine, tmp_path: Path
) -> None:
    tls = make_tls(tmp_path / "tls")
    with Proxy(casd.port) as proxy:
        seen: set[str] = set()
        proxy.before = lambda _method, _number, headers: seen.add(headers["authorization"])
        port = int(proxy.url.rpartition(":")[2])
        with secured(port, tls, clients=True) as url:
            ada.write({"token": "open sesame\n"})
            ada.write(
                {
                    "lamina.toml": f"""
[remote]
endpoint = "{url}"
execution = true
ca = "{tls.ca}"
certificate = "{tls.client}"
key = "{tls.client_key}"
token_file = "token"
platform = {{ OSFamily = "linux" }}
"""
                }
            )
            said = ada.lamina("build", "//:c", "--console", "none")

    assert said.counts[2] == "3"
    assert seen == {"Bearer open sesame"}


def test_many_blobs_and_a_large_output_go_from_one_machine_to_another(
    proxy: Proxy, tmp_path: Path
) -> None:
    move(tmp_path / "machines", proxy, blobs=300, size=12 << 20)


# Faults: the build succeeds with the right bytes, and says what it did without.


def test_a_farm_that_is_not_there(ada: Machine, alone: dict[str, bytes]) -> None:
    words = (*ALL, f"--remote-executor=grpc://127.0.0.1:{free_port()}", "--remote-timeout=2")

    said = ada.lamina(*words)

    assert "warning: the build farm `grpc://127.0.0.1:" in said.err
    assert ada.outputs() == alone


def test_a_farm_that_must_be_there(ada: Machine) -> None:
    words = (*ALL, f"--remote-cache=grpc://127.0.0.1:{free_port()}", "--remote-timeout=2")

    assert "UNAVAILABLE" in ada.lamina(*words, "--no-remote-fallback", code=2).err


@pytest.mark.parametrize("method", ["GetActionResult", "BatchUpdateBlobs", "UpdateActionResult"])
def test_a_cache_that_is_killed_in_the_middle(
    casd: Casd, proxy: Proxy, ada: Machine, alone: dict[str, bytes], method: str
) -> None:
    def before(asked: str, number: int, _headers: object) -> None:
        if asked == method and number == 2:
            casd.kill()

    proxy.before = before
    ada.lamina(*cache(proxy), "--remote-retries=1")

    assert ada.outputs() == alone


def test_a_farm_that_is_killed_while_it_runs_actions(
    casd: Casd, proxy: Proxy, ada: Machine, alone: dict[str, bytes]
) -> None:
    def before(asked: str, number: int, _headers: object) -> None:
        if asked == "Execute" and number == 2:
            casd.kill()

    proxy.before = before
    ada.lamina(*execution(proxy), "--remote-retries=1")

    assert ada.outputs() == alone


def test_blobs_that_vanish_between_a_result_and_its_use(
    casd: Casd, proxy: Proxy, ada: Machine, bob: Machine, alone: dict[str, bytes]
) -> None:
    def before(asked: str, number: int, _headers: object) -> None:
        if asked == "BatchReadBlobs" and number == 1:
            casd.forget()

    ada.lamina(*cache(casd))
    proxy.before = before
    bob.lamina(*cache(proxy))

    assert bob.outputs() == alone


def test_blobs_that_vanish_while_the_results_that_name_them_stay(
    casd: Casd, ada: Machine, bob: Machine, alone: dict[str, bytes]
) -> None:
    ada.lamina(*cache(casd))
    for blob in (casd.folder / "cas" / "objects").glob("*/*"):
        if blob.stat().st_size > 200:
            blob.unlink()

    bob.lamina(*cache(casd))

    assert bob.outputs() == alone


def test_inputs_that_vanish_before_they_are_used(
    casd: Casd, proxy: Proxy, ada: Machine, alone: dict[str, bytes]
) -> None:
    def before(asked: str, number: int, _headers: object) -> None:
        if asked == "Execute" and number in (1, 4):
            casd.forget()

    proxy.before = before
    ada.lamina(*execution(proxy))

    assert ada.outputs() == alone


def test_wrong_bytes(
    casd: Casd, proxy: Proxy, ada: Machine, bob: Machine, alone: dict[str, bytes]
) -> None:
    ada.lamina(*cache(casd))

    def change(method: str, data: bytes) -> bytes:
        if method != "BatchReadBlobs":
            return data
        answer = pb.BatchReadBlobsResponse.FromString(data)
        for each in answer.responses:
            each.data = each.data[::-1]
        return answer.SerializeToString()

    proxy.change = change
    said = bob.lamina(*cache(proxy))

    assert bob.outputs() == alone
    assert "sent wrong bytes" in said.err


@pytest.mark.parametrize("method", ["BatchUpdateBlobs", "Execute", "GetActionResult"])
def test_a_farm_that_is_full(
    proxy: Proxy, ada: Machine, alone: dict[str, bytes], method: str
) -> None:
    def before(asked: str, number: int, _headers: object) -> None:
        if asked == method:
            raise Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "no quota left")

    proxy.before = before
    said = ada.lamina(*execution(proxy), "--remote-retries=1")

    assert "RESOURCE_EXHAUSTED: no quota left" in said.err
    assert ada.outputs() == alone


def test_a_farm_that_is_slow(proxy: Proxy, ada: Machine, alone: dict[str, bytes]) -> None:
    def before(asked: str, number: int, _headers: object) -> None:
        if asked != "GetCapabilities":
            time.sleep(3)

    proxy.before = before
    said = ada.lamina(*ALL, f"--remote-executor={proxy.url}", "--remote-timeout=1")

    assert "DEADLINE_EXCEEDED" in said.err
    assert ada.outputs() == alone


def test_an_interruption_ends_what_runs_in_the_farm(proxy: Proxy, ada: Machine) -> None:
    ada.write({"BUILD": 'genrule(name = "x", outs = ["x"], cmd = "sleep 60; touch $@")'})
    started = ada.start(*execution(proxy))
    while not proxy.counts["Execute"]:
        time.sleep(0.05)
    time.sleep(0.3)

    started.send_signal(signal.SIGINT)
    started.communicate(timeout=20)

    assert started.returncode == 128 + signal.SIGINT
    assert proxy.counts["CancelOperation"] == 1
    assert not (ada.root / "lamina-out" / "x").exists()


def test_outputs_that_a_farm_does_not_bring_are_made_here(
    proxy: Proxy, ada: Machine, alone: dict[str, bytes]
) -> None:
    def change(method: str, data: bytes) -> bytes:
        if method not in ("Execute", "WaitExecution"):
            return data
        operation = pb.Operation.FromString(data)
        answer = pb.ExecuteResponse.FromString(operation.response.value)
        if answer.result.output_files:
            del answer.result.output_files[0]
        operation.response.value = answer.SerializeToString()
        return operation.SerializeToString()

    proxy.change = change
    said = ada.lamina(*execution(proxy))

    assert ada.outputs() == alone
    assert said.counts[2] is None


def test_a_farm_that_loses_what_it_makes(
    casd: Casd, proxy: Proxy, ada: Machine, alone: dict[str, bytes]
) -> None:
    def before(asked: str, number: int, _headers: object) -> None:
        if asked == "BatchReadBlobs":
            casd.forget()

    proxy.before = before
    ada.lamina(*execution(proxy))

    assert ada.outputs() == alone
