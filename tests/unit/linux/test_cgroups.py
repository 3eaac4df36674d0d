"""Control groups: version 1 and 2 for real where this machine has them, the rest on made trees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.core.container import NO_LIMITS, Limits
from lamina.linux import cgroups, descendants, groupusage
from lamina.linux.cgroups import Hierarchy, Layout
from lamina.linux.group import Group

ALL = Limits(memory=64 << 20, cpus=1.5, pids=20, io_weight=300)


def proc(folder: Path, groups: str, mounts: str) -> Path:
    """What /proc/self says."""
    made = folder / "proc"
    made.mkdir()
    (made / "cgroup").write_text(groups)
    (made / "mountinfo").write_text(mounts)
    return made


def test_version_2_alone_is_told(tmp_path: Path) -> None:
    top = tmp_path / "tree"
    (top / "user/job").mkdir(parents=True)
    (top / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    mount = f"30 23 0:26 / {top} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"

    found = cgroups.layout(proc(tmp_path, "0::/user/job\n", mount))

    assert found.name == "v2"
    (tree,) = found.hierarchies
    assert tree == Hierarchy(2, top / "user/job", top, frozenset({"cpu", "io", "memory", "pids"}))


def test_version_1_in_a_container_of_others_is_told(tmp_path: Path) -> None:
    text = "5:memory:/docker/x/job\n4:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n"
    mounts = (
        "1 0 0:1 /docker/x /c/memory rw - cgroup cgroup rw,memory\n"
        "2 0 0:2 / /c/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "3 0 0:3 / /c/unified rw - cgroup2 cgroup2 rw\n"
        "4 0 0:4 / /c tmpfs - tmpfs tmpfs rw\n"
    )

    found = cgroups.layout(proc(tmp_path, text, mounts))

    assert found.name == "hybrid"
    memory, cpu, unified = found.hierarchies
    assert (memory.own, memory.controllers) == (Path("/c/memory/job"), frozenset({"memory"}))
    assert cpu.controllers == {"cpu", "cpuacct"}
    assert (unified.version, unified.controllers) == (2, frozenset())


def test_a_machine_without_controllers_has_no_limits(tmp_path: Path) -> None:
    found = cgroups.layout(tmp_path / "absent")

    group = cgroups.create("lamina-x", ALL, found)

    assert (found.name, group.folders) == ("none", ())
    assert len(group.missing) == 4
    assert group.missing[0] == "`--memory` has no effect: this machine has no controller `memory`"


def tree_of_version_2(top: Path, *groups: str, on: str = "") -> None:
    """A tree as the kernel shows it, of plain files: made groups have no files of their own."""
    for group in ("", *groups):
        folder = top / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.subtree_control").write_text(on if group in ("", groups[0]) else "")
        (folder / "cgroup.procs").write_text("1\n2\n")
        if group:
            (folder / "cgroup.type").write_text("domain\n")


def test_a_group_is_made_below_one_that_hands_its_controllers_on(tmp_path: Path) -> None:
    tree_of_version_2(tmp_path, "job", on="cpu io memory pids")
    controllers = frozenset({"cpu", "io", "memory", "pids"})
    within = Layout((Hierarchy(2, tmp_path / "job", tmp_path, controllers),))

    group = cgroups.create("lamina-x", NO_LIMITS, within)

    assert group.folders == (str(tmp_path / "job/lamina-x"),)
    assert group.missing == ()


def test_a_group_with_other_processes_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # root has another place then
    tree_of_version_2(tmp_path, "session")
    controllers = frozenset({"memory"})
    within = Layout((Hierarchy(2, tmp_path / "session", tmp_path, controllers),))

    group = cgroups.create("lamina-x", Limits(memory=64 << 20), within)

    assert "the control group of this process has other processes in it" in group.missing[0]


MEMORY = frozenset({"memory", "pids"})


def test_root_leaves_a_group_with_other_processes_for_one_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    tree_of_version_2(tmp_path, "session", "lamina", on="memory pids")
    (tmp_path / "session/cgroup.subtree_control").write_text("")
    within = Layout((Hierarchy(2, tmp_path / "session", tmp_path, MEMORY),))

    group = cgroups.create("lamina-x", Limits(memory=64 << 20), within)

    assert group.folders == (str(tmp_path / "lamina/lamina-x"),)


def test_who_is_alone_in_a_group_moves_to_a_leaf_of_it(tmp_path: Path) -> None:
    tree_of_version_2(tmp_path, "scope", "scope/lamina")
    (tmp_path / "scope/cgroup.procs").write_text(f"{os.getpid()}\n")
    within = Layout((Hierarchy(2, tmp_path / "scope", tmp_path, MEMORY),))

    group = cgroups.create("lamina-x", Limits(memory=64 << 20), within)

    assert group.folders == (str(tmp_path / "scope/lamina-x"),)
    moved = (tmp_path / "scope/lamina/cgroup.procs").read_text().split()[0]
    assert int(moved) in {os.getpid(), *descendants.tree(os.getpid())}  # what it has started too
    assert "+pids" in (tmp_path / "scope/cgroup.subtree_control").read_text()  # the last


def test_what_is_started_from_such_a_leaf_has_its_group_beside_it(tmp_path: Path) -> None:
    tree_of_version_2(tmp_path, "scope", "scope/lamina", on="memory pids")
    within = Layout((Hierarchy(2, tmp_path / "scope/lamina", tmp_path, MEMORY),))

    group = cgroups.create("lamina-x", Limits(memory=64 << 20), within)

    assert group.folders == (str(tmp_path / "scope/lamina-x"),)


@pytest.mark.root
def test_limits_are_set_for_real_and_the_group_goes() -> None:
    layout = cgroups.layout()
    if os.geteuid() or layout.name == "none":
        pytest.skip("needs root, and controllers")
    name = f"lamina-test-{os.getpid()}"

    group = cgroups.create(name, Limits(memory=64 << 20, cpus=1.5, pids=20), layout)
    try:
        assert group.missing == ()
        usage = groupusage.usage(group)
    finally:
        assert group.remove()

    assert (usage.memory_limit, usage.pids_limit) == (64 << 20, 20)
    assert usage.out_of_memory == 0
    assert (usage.pids, usage.cpu is not None) == (0, True)
    assert not any(path.exists() for path in cgroups.candidates(name, layout))


def test_usage_is_read_in_both_versions(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    for folder, files in (
        (
            one,
            {
                "memory.usage_in_bytes": "5", "memory.limit_in_bytes": "9223372036854771712",
                "memory.max_usage_in_bytes": "7", "memory.oom_control": "under_oom 0\noom_kill 2\n",
                "cpuacct.usage": "1500000000", "pids.current": "3", "pids.max": "max",
            },
        ),
        (
            two,
            {
                "memory.current": "5", "memory.max": "max", "memory.peak": "7",
                "memory.events": "oom 1\noom_kill 2\n", "cpu.stat": "usage_usec 1500000\n",
                "pids.current": "3", "pids.max": "max",
            },
        ),
    ):  # fmt: skip
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text)

    found = [
        groupusage.usage(Group([(name, str(at)) for name in ("cpuacct", "memory", "pids")]))
        for at in (one, two)
    ]

    assert found[0] == found[1] == groupusage.Usage(5, None, 7, 1.5, 3, None, 2)
