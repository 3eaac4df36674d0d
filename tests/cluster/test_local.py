"""Jobs on this machine: in containers with limits, and with a supervisor that may be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from .conftest import LAMINA, Bench


def contained(bench: Bench) -> Bench:
    settings = bench.root / "lamina.toml"
    settings.write_text(settings.read_text().replace('container = "never"\n', ""))
    return bench


def test_tasks_run_in_containers_of_their_own(on_local: Bench, tmp_path: Path) -> None:
    bench = contained(on_local)
    (tmp_path / "data").mkdir()

    probe = bench.root / "probe.py"
    probe.write_text(f"{probe.read_text()}# {time.time()}\n")  # a package that no other test has
    job = bench.submit("-n", "2", "--mount", f"{tmp_path}/data:/data:ro", "--", "graceful")

    bench.until_printed(job, "ready", 2)
    assert len(_containers(bench, job)) == 2
    assert bench.run("cancel", job).returncode == 0
    assert bench.call("logs", job).count("saved") == 2
    assert _containers(bench, job) == []


def test_others_build_while_a_job_is_followed(on_local: Bench) -> None:
    with on_local.begin("submit", "//:probe", "--on", "here", "-f", "--", "sleep") as following:
        assert following.stdout is not None
        assert "sleep rank 0" in following.stdout.readline()
        probe = on_local.root / "probe.py"
        probe.write_text(f"{probe.read_text()}# edited\n")

        done = on_local.run("build", "//:probe")

        assert done.returncode == 0
        assert "waiting for another" not in done.stderr
        (job,) = json.loads(on_local.call("jobs", "--json"))
        assert on_local.run("cancel", job["id"]).returncode == 0
        assert following.wait(60) == 128 + 15


def test_a_limit_of_memory_holds(on_local: Bench) -> None:
    bench = contained(on_local)

    job = bench.submit("-n", "2", "--memory", "200M", "--", "memory")

    assert bench.run("wait", job).returncode == 137
    assert "out of memory" in bench.call("logs", job, "--task", "1")


def test_a_supervisor_that_is_killed_takes_its_tasks_with_it(on_local: Bench) -> None:
    for bench in (on_local, contained(on_local)):
        job = bench.submit("-n", "2", "--", "sleep")
        bench.until_printed(job, "sleep rank", 2)

        os.kill(int(json.loads(bench.call("describe", "--json", job))["native"]), signal.SIGKILL)

        found = bench.until(job, lambda status: status["state"] == "lost")
        assert {task["state"] for task in found["tasks"]} == {"lost"}
        until = time.monotonic() + 20
        while _running(str(bench.root.parent)):
            assert time.monotonic() < until, _running(str(bench.root.parent))
            time.sleep(0.1)


def _containers(bench: Bench, job: str) -> list[str]:
    """The containers of a job's package that run."""
    package = json.loads(bench.call("describe", "--json", job))["package"]
    running = json.loads(bench.call("ps", "--json"))["running"]
    # Those of other tests run too, and what comes from a workspace has no digest.
    names = [(each["id"], each["digest"].partition("/")[0]) for each in running]
    return [name for name, digest in names if digest and digest in package]


def _running(mark: str) -> list[str]:
    """The processes whose environment tells that they belong to a test."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes() and path.parent.name != str(os.getpid()):
                found.append((path.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has just ended, or is the kernel's
    return [each for each in found if "probe" in each]


def test_nodes_without_labels_are_told_before_they_are_asked(on_local: Bench) -> None:
    for words, complaint in (
        (("--label",), "`--label` needs the reference of a package"),
        (("--label", "host.x/a:1"), "nodes of the cluster `here` have no labels"),
    ):
        done = on_local.run("nodes", "--on", "here", *words)

        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith(f"error: {complaint}\n")


def test_a_package_of_this_machine_needs_no_fetching(on_local: Bench) -> None:
    done = on_local.run("prefetch", "//:probe", "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [each["bytes"] for each in found["nodes"]] == [0]


def test_why_a_node_did_not_fetch_is_told_once_and_in_words(on_local: Bench) -> None:
    told = on_local.run("prefetch", "absent/package")
    data = on_local.run("prefetch", "absent/package", "--json")

    assert told.returncode == data.returncode == 2
    assert "has not pulled it: there is no package `absent/package`" in told.stderr
    assert len(json.loads(data.stdout)["failed"]) == 1


def test_lamina_need_not_be_on_path(on_local: Bench) -> None:
    on_local.environment["PATH"] = "/usr/bin:/bin"  # it is started by its own path

    done = on_local.run("submit", "//:probe", "-f", "-q", "--", "ok")

    assert (done.returncode, done.stdout) == (0, "ok rank 0\n"), done.stderr


def test_who_stops_following_is_told_that_the_job_goes_on(on_local: Bench) -> None:
    words = [str(LAMINA), "submit", "//:probe", "--on", "here", "-f", "--", "graceful"]
    with subprocess.Popen(
        words, cwd=on_local.root, env={**os.environ, **on_local.environment}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as following:  # fmt: skip
        assert following.stdout is not None
        assert any(line == "ready\n" for line in following.stdout)
        following.send_signal(signal.SIGINT)
        told = following.communicate()[1]

    job = json.loads(on_local.call("jobs", "--json"))[0]["id"]
    assert following.returncode == 130
    assert f"job {job} goes on: `lamina logs -f {job}`, `lamina cancel {job}`" in told
    assert on_local.status(job)["state"] == "running"
    on_local.call("cancel", job)
