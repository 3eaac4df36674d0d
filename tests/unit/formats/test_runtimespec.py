"""The bundle: what every container has, what is asked for, and the filter of system calls."""

from __future__ import annotations

import json
import os

import pytest

from lamina.core.container import Bind, Container, Limits, Rlimit, Tmpfs, User
from lamina.formats import bubblewrap, runtimespec, seccomp
from lamina.formats.runtimespec import Identity, Node, Surroundings
from lamina.linux import seccomp as compiler

USUAL = Container(("/packages/a/run", "x"), (("A", "b"),), hostname="h")
ROOT = Surroundings("/bundle/rootfs", "x86_64", Identity(0, 0), init="/usr/bin/tini")
USER = Surroundings("/bundle/rootfs", "x86_64", Identity(1000, 100, 1000, 100))


def kinds(found: dict[str, object]) -> set[str]:
    linux = found["linux"]
    assert isinstance(linux, dict)
    return {each["type"] for each in linux["namespaces"]}


def test_every_container_has_its_walls() -> None:
    found = runtimespec.config(USUAL, ROOT)

    process = found["process"]
    assert process["args"] == ["/dev/init", "--", "/packages/a/run", "x"]
    assert process["noNewPrivileges"] is True
    assert set(map(tuple, process["capabilities"].values())) == {()}
    assert found["root"] == {"path": "/bundle/rootfs", "readonly": True}
    assert kinds(found) == {"mount", "pid", "ipc", "uts", "cgroup"}
    assert "/proc/kcore" in found["linux"]["maskedPaths"]
    assert "/proc/sys" in found["linux"]["readonlyPaths"]
    assert json.loads(json.dumps(found)) == found


def test_an_ordinary_user_has_a_user_namespace_and_stays_who_it_is() -> None:
    found = runtimespec.config(Container(("/x",), user=User(1000, 100), network="none"), USER)

    assert kinds(found) == {"user", "mount", "pid", "ipc", "uts", "cgroup", "network"}
    assert found["linux"]["uidMappings"] == [{"containerID": 1000, "hostID": 1000, "size": 1}]
    assert found["linux"]["gidMappings"] == [{"containerID": 100, "hostID": 100, "size": 1}]
    assert found["process"]["args"] == ["/x"]


def test_what_lies_in_another_mount_is_mounted_after_it() -> None:
    binds = (Bind("/s", "/data/deep/er"), Bind("/t", "/data", True))
    around = Container(("/x",), binds=binds, tmpfs=(Tmpfs("/data/deep", 4096),))

    found = [each for each in runtimespec.config(around, ROOT)["mounts"] if "data" in str(each)]

    assert [each["destination"] for each in found] == ["/data", "/data/deep", "/data/deep/er"]
    assert "ro" in found[0]["options"]
    assert "size=4096" in found[1]["options"]
    assert {"nosuid", "nodev"} <= {*found[2]["options"]}


def test_limits_are_for_runtimes_that_set_them() -> None:
    limited = Container(
        ("/x",), limits=Limits(64 << 20, 1.5, 20, 500), rlimits=(Rlimit("nofile", 5, -1),)
    )

    linux = runtimespec.config(limited, ROOT)["linux"]
    process = runtimespec.config(limited, ROOT)["process"]

    assert linux["resources"] == {
        "memory": {"limit": 64 << 20, "swap": 64 << 20},
        "cpu": {"quota": 150_000, "period": 100_000},
        "pids": {"limit": 20},
        "blockIO": {"weight": 500},
    }
    unlimited = (1 << 64) - 1
    assert process["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": unlimited}]
    nodes = (Node("c", 10, 229),)
    own = Surroundings("/r", "x86_64", Identity(0, 0), limits=False, nodes=nodes)
    assert list(runtimespec.config(limited, own)["linux"]["resources"]) == ["devices"]


def test_bwrap_gets_the_same_walls_and_no_environment_on_its_command_line() -> None:
    options = bubblewrap.options(USUAL, USER, filter_=3, closed=["/proc/sys"])

    assert {"--unshare-user", "--unshare-pid", "--die-with-parent"} <= {*options}
    assert options[options.index("--cap-drop") + 1] == "ALL"
    assert options[options.index("--setenv") :][:3] == ["--setenv", "A", "b"]
    assert bubblewrap.command(USUAL, USER) == ["/packages/a/run", "x"]


def test_the_lists_of_system_calls_do_not_overlap_and_are_sorted() -> None:
    allowed, refused, *_ = seccomp.profile("x86_64")["syscalls"]

    assert allowed["names"] == sorted(allowed["names"])
    assert refused["names"] == sorted(refused["names"])
    assert set(allowed["names"]).isdisjoint(refused["names"])
    dangerous = {"mount", "unshare", "setns", "bpf", "keyctl", "userfaultfd", "kexec_load"}
    assert dangerous <= {*refused["names"]}
    assert {"read", "execve", "futex", "openat"} <= {*allowed["names"]}


def test_the_filter_compiles() -> None:
    program = compiler.compiled(seccomp.profile(os.uname().machine))

    assert len(program) % 8 == 0
    assert len(program) > 800


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "mips"])
def test_only_known_machines_are_named(machine: str) -> None:
    assert ("architectures" in seccomp.profile(machine)) == (machine != "mips")
