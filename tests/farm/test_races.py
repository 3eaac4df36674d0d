"""Actions that run in a real farm and here: the first whole result counts, the other side ends."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import farms
from tests.farm.conftest import Machine
from tests.farms import Casd, Proxy

Machines = Callable[[str], Machine]

HERE = '[ "$$(id -u)" = 1000 ]'  # actions of lamina have this user, those of the farm another


@pytest.fixture
def ada(machine: Machines) -> Machine:
    made = machine("ada")
    made.write({"lamina.toml": "[workspace]\n"})
    return made


def racing(farm: Casd | Proxy, *words: str, delay: int = 100) -> tuple[str, ...]:
    return (
        "build", "//...", "--console=none", f"--remote-executor={farm.url}", "--remote-timeout=5",
        "--remote-race", f"--remote-race-delay={delay}", *words,
    )  # fmt: skip


def rule(name: str, cmd: str, *srcs: str) -> str:
    return (
        f"genrule(name = '{name}', srcs = {list(srcs)}, outs = ['{name}.out'], cmd = '''{cmd}''')\n"
    )


def processes(mark: str) -> list[str]:
    """Commands that run on this machine, in the farm or here, and have a word in them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if mark in words and int(folder.name) != os.getpid():
            found.append(words)
    return found


def is_gone(mark: str, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while processes(mark):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def scratch(machine: Machine) -> list[Path]:
    return list((machine.store / "tmp").glob("*"))


def test_this_machine_wins_and_the_farm_is_told(proxy: Proxy, ada: Machine) -> None:
    ada.write({"BUILD": rule("x", f"{HERE} || sleep 97.25; id -u > $@")})

    said = ada.lamina(*racing(proxy))

    assert "1 action run, 0 cached; 1 raced, 0 remote and 1 local first" in said.err
    assert ada.outputs() == {"x.out": b"1000\n"}
    assert proxy.counts["CancelOperation"] >= 1
    assert is_gone("97.25")


def test_the_farm_wins_and_nothing_is_left_here(casd: Casd, ada: Machine) -> None:
    ada.write({"BUILD": rule("x", f"{HERE} && sleep 98.25; sleep 2; id -u > $@")})

    said = ada.lamina(*racing(casd))

    assert "1 action run (1 remote), 0 cached; 1 raced, 1 remote and 0 local first" in said.err
    assert ada.outputs()["x.out"] != b"1000\n"
    assert not processes("98.25")
    assert scratch(ada) == []


@pytest.fixture
def full(tmp_path: Path, machine: Machines) -> Iterator[Casd]:
    """A farm whose one worker is busy with the action of somebody else."""
    other = machine("olaf")
    other.write({"lamina.toml": "[workspace]\n", "BUILD": rule("x", "sleep 93.25")})
    if os.geteuid():
        pytest.skip("buildbox-casd runs actions with the rights of root")
    try:
        with farms.casd(tmp_path / "full", jobs=1) as found:
            started = other.start("build", "//...", f"--remote-executor={found.url}")
            while not processes("sleep\x0093.25"):
                assert started.poll() is None
                time.sleep(0.05)
            yield found
            started.send_signal(signal.SIGINT)
            started.communicate(timeout=20)
    except farms.Absent as absent:
        pytest.skip(str(absent))


def test_a_farm_without_a_free_worker_costs_the_delay_alone(full: Casd, ada: Machine) -> None:
    rules = [rule(f"r{n}", "id -u > $@", *([f":r{n - 3}"] if n > 2 else [])) for n in range(9)]
    ada.write({"BUILD": "".join(rules)})

    said = ada.lamina(*racing(full))

    assert "9 actions run, 0 cached; 9 raced, 0 remote and 9 local first" in said.err
    assert "warning" not in said.err


@pytest.mark.parametrize("silent", ["Execute", "FindMissingBlobs", "GetActionResult"])
def test_a_farm_that_never_answers_holds_up_nothing(
    proxy: Proxy, ada: Machine, silent: str
) -> None:
    ada.write({"BUILD": rule("x", "id -u > $@") + rule("y", "cat $(SRCS) > $@", ":x")})
    released, waited = threading.Event(), list[bool]()

    def before(method: str, _number: int, _headers: object) -> None:
        if method == silent:
            waited.append(released.wait(60))

    proxy.before = before
    said = ada.lamina(*racing(proxy), "--remote-timeout=2")

    assert waited == []  # all are still in there
    released.set()
    assert ada.outputs() == {"x.out": b"1000\n", "y.out": b"1000\n"}
    assert "2 actions run, 0 cached; 2 raced, 0 remote and 2 local first" in said.err


def test_a_farm_that_dies_leaves_the_race_to_this_machine(
    casd: Casd, proxy: Proxy, ada: Machine
) -> None:
    ada.write({"BUILD": rule("x", f"{HERE} || sleep 60; sleep 2; id -u > $@")})
    done = threading.Event()

    def kill() -> None:
        while not (processes("sleep 2") and proxy.counts["Execute"]):
            if done.wait(0.05):
                return
        casd.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    said = ada.lamina(*racing(proxy), "--remote-retries=1")
    done.set()
    thread.join()

    assert ada.outputs() == {"x.out": b"1000\n"}
    assert "1 action run, 0 cached" in said.err


def test_results_are_of_one_side_and_what_is_kept_is_what_was_built(
    casd: Casd, ada: Machine, machine: Machines
) -> None:
    outs = "outs = ['{0}.a', '{0}.b']"
    cmd = "id -u > $(location {0}.a); sleep 0.1; id -u > $(location {0}.b)"
    rules = [
        f"genrule(name = 'r{n}', {outs.format(f'r{n}')}, cmd = '{cmd.format(f'r{n}')}')\n"
        for n in range(24)
    ]
    ada.write({"BUILD": "".join(rules)})
    bob = machine("bobby")
    bob.write({"lamina.toml": "[workspace]\n", "BUILD": "".join(rules)})

    ada.lamina(*racing(casd, delay=0))
    again = bob.lamina("build", "//...", "--console=none", f"--remote-cache={casd.url}")

    made = ada.outputs()
    assert len(made) == 48
    assert all(made[f"r{n}.a"] == made[f"r{n}.b"] for n in range(24))
    assert again.ran == 0
    found = bob.outputs()
    assert all(found[f"r{n}.a"] == found[f"r{n}.b"] for n in range(24))
    assert scratch(ada) == []


@pytest.mark.parametrize(("slow", "mark"), [("", "92.25"), ("! ", "91.25")], ids=["here", "there"])
def test_an_action_that_fails_tells_it_once(casd: Casd, ada: Machine, slow: str, mark: str) -> None:
    command = f"{slow}{HERE} || sleep {mark}; sleep 1; echo woe >&2; exit 4"
    ada.write({"BUILD": rule("x", command)})

    said = ada.lamina(*racing(casd), "--keep-going", code=1)

    assert said.err.count("Genrule x.out failed with exit code 4") == 1
    assert said.err.count("woe") == 1
    assert "1 action failed" in said.err
    assert is_gone(mark)


def test_what_was_killed_here_the_farm_decides(casd: Casd, ada: Machine) -> None:
    ada.write({"BUILD": rule("x", f"{HERE} && kill -9 $$$$; sleep 2; id -u > $@")})

    said = ada.lamina(*racing(casd))

    assert "1 action run (1 remote)" in said.err


def test_what_was_killed_in_both_places_fails(casd: Casd, ada: Machine) -> None:
    ada.write({"BUILD": rule("x", f"{HERE} || sleep 1; kill -9 $$$$")})

    said = ada.lamina(*racing(casd), "--keep-going", code=1)

    assert said.err.count("Genrule x.out failed with exit code 137") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_both_sides(casd: Casd, ada: Machine, number: int) -> None:
    mark = f"90.{number}5"
    ada.write({"BUILD": rule("x", f"sleep {mark}; touch $@")})
    started = ada.start(*racing(casd))
    while len([words for words in processes(mark) if words.startswith("sleep\0")]) < 2:
        assert started.poll() is None
        time.sleep(0.05)

    started.send_signal(number)
    started.communicate(timeout=20)

    assert started.returncode == 128 + number
    assert is_gone(mark)
    assert scratch(ada) == []


@pytest.mark.parametrize(("size", "raced"), [(1 << 20, True), (6 << 20, False)])
def test_large_inputs_that_lie_in_the_farm_are_not_brought_for_a_race(
    casd: Casd, ada: Machine, machine: Machines, size: int, raced: bool
) -> None:
    big = rule("big", f"head -c {size} /dev/zero > $@")
    ada.write({"BUILD": big})
    bob = machine("bobby")
    small = rule("x", f"{HERE} || sleep 2; wc -c < $(SRCS) > $@", ":big")
    bob.write({"lamina.toml": "[workspace]\n", "BUILD": big + small})
    ada.lamina(*racing(casd, delay=60_000))

    words = [word for word in racing(casd) if word != "//..."]
    said = bob.lamina(*words, "//:x")

    assert ("raced" in said.err) == raced
    assert bob.outputs() == {"x.out": f"{size}\n".encode()}


def test_a_race_gives_way_to_what_only_this_machine_does(casd: Casd, ada: Machine) -> None:
    slow = rule("slow", f"{HERE} && sleep 95.25; sleep 4; id -u > $@")
    first = rule("first", "id -u > $@")
    near = (
        "genrule(name = 'near', srcs = [':first'], outs = ['near.out'], cmd = 'id -u > $@',"
        " tags = ['requires-network'])\n"
    )
    ada.write({"BUILD": slow + first + near})

    said = ada.lamina(*racing(casd, "--jobs=1", delay=0))

    assert not processes("95.25")
    assert ada.outputs()["near.out"] == b"1000\n"
    assert ada.outputs()["slow.out"] != b"1000\n"
    assert "3 actions run" in said.err
    ran = json.loads(ada.lamina("log", "ran", "--json").out)
    ended = {each["target"]: each["begun"] + each["seconds"] for each in ran}
    assert ended["//:near"] < ended["//:slow"]  # else it would have waited for that


def test_tests_do_not_race_nor_does_a_build_that_must_be_done_by_the_farm(
    casd: Casd, ada: Machine
) -> None:
    ada.write({"BUILD": rule("x", "sleep 1; id -u > $@")})
    assert "raced" not in ada.lamina(*racing(casd, "--no-remote-fallback", delay=0)).err

    ada.write({"BUILD": 'sh_test(name = "t", srcs = ["t.sh"])', "t.sh": "#!/bin/sh\nsleep 1\n"})
    (ada.root / "t.sh").chmod(0o755)
    said = ada.lamina("test", *racing(casd, delay=0)[1:])

    assert "raced" not in said.err


def test_the_log_tells_where_an_action_ran(casd: Casd, ada: Machine) -> None:
    rules = rule("a", f"{HERE} || sleep 94.25; id -u > $@") + rule(
        "b", f"{HERE} && sleep 60; sleep 2; id -u > $@"
    )
    ada.write({"BUILD": rules})
    ada.lamina(*racing(casd))

    shown = ada.lamina("log", "show").out
    ran = json.loads(ada.lamina("log", "ran", "--json").out)

    assert "1 of them in the build farm; 2 raced, 1 remote and 1 local first" in shown
    places = {each["target"]: each["place"] for each in ran}
    assert places == {"//:a": "here first", "//:b": "farm first"}


def tagged(name: str, tag: str, cmd: str) -> str:
    return rule(name, cmd).replace("cmd =", f"tags = ['{tag}'], cmd =")


def test_tags_say_what_runs_where(casd: Casd, ada: Machine, machine: Machines) -> None:
    names = {"near": "local", "here": "no-remote-exec", "alone": "no-race", "own": "no-remote"}
    build = "".join(tagged(name, tag, "sleep 0.5; id -u > $@") for name, tag in names.items())
    bob = machine("bobby")
    for each in (ada, bob):
        each.write({"lamina.toml": "[workspace]\n", "BUILD": build})

    said = ada.lamina(*racing(casd, delay=0))
    again = bob.lamina(*racing(casd, delay=0))

    assert "4 actions run (1 remote), 0 cached" in said.err
    assert "raced" not in said.err
    made = ada.outputs()
    assert [name for name in names if made[f"{name}.out"] != b"1000\n"] == ["alone"]
    assert "1 action run, 3 cached (3 remote)" in again.err  # what is the machine's own alone


def test_tags_hold_for_each_kind_of_rule_and_after_an_edit(casd: Casd, ada: Machine) -> None:
    ada.write(
        {
            "BUILD": "cc_binary(name = 'c', srcs = ['c.c'], tags = ['no-remote-exec'])\n"
            "load(':r.bzl', 'r')\nr(name = 'r', srcs = ['r.txt'])\n",
            "c.c": "int main() { return 0; }\n",
            "r.txt": "1\n",
            "r.bzl": """
def _r(ctx):
    out = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.run_shell(outputs = [out], inputs = ctx.files.srcs,
                          command = "cat %s > %s" % (ctx.files.srcs[0].path, out.path),
                          execution_requirements = {"no-remote-exec": "1"})
    return [DefaultInfo(files = depset([out]))]
r = rule(_r, attrs = {"srcs": attr.label_list(allow_files = True)})
""",
        }
    )

    first = ada.lamina(*racing(casd, delay=0))
    ada.write({"c.c": "int main() { return 1 - 1; }\n", "r.txt": "2\n"})
    second = ada.lamina(*racing(casd, delay=0))

    for said in (first, second):
        assert said.ran >= 2
        assert said.counts[2] is None  # none of them there
