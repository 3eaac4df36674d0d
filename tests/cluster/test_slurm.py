"""A real Slurm: nodes that die, fill up and are drained, memory that ends, and what it forgets."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import re
import signal
import time
from pathlib import Path

import pytest

from tests import servers

from .conftest import Bench
from .slurm import MASTER, Slurm


def test_an_end_for_want_of_memory_is_told(on_slurm: Bench) -> None:
    job = on_slurm.submit("-N", "2", "--memory", "300M", "--", "memory")

    assert on_slurm.run("wait", job).returncode == 137
    found = on_slurm.status(job)
    assert found["state"] == "out of memory"
    assert found["tasks"][1]["state"] == "out of memory"


def test_a_job_of_a_node_that_dies_starts_again(on_slurm: Bench, real_slurm: Slurm) -> None:
    job = on_slurm.submit("-N", "4", "--", "sleep")
    on_slurm.until_printed(job, "sleep rank", 4)

    real_slurm.kill(2)

    found = on_slurm.until(job, lambda status: status["state"] == "pending")
    real_slurm.boot(2)
    assert found["attempt"] == 2
    assert on_slurm.run("cancel", job).returncode == 0
    assert on_slurm.status(job)["state"] == "cancelled"
    _until_idle(real_slurm)


def test_what_waits_says_why(on_slurm: Bench, real_slurm: Slurm) -> None:
    real_slurm.call("scontrol", "update", "nodename=en4", "state=drain", "reason=test")
    try:
        states = {
            node["name"]: node["state"]
            for node in json.loads(on_slurm.call("nodes", "--on", "lab", "--json"))
        }
        assert states["en4"].startswith("drain")
        job = on_slurm.submit("-N", "4", "--", "ok")
        found = on_slurm.until(job, lambda status: bool(status["reason"]))
        assert found["state"] == "pending"
        assert found["reason"]
        assert on_slurm.run("cancel", job).returncode == 0
        assert on_slurm.status(job)["state"] == "cancelled"
    finally:
        real_slurm.call("scontrol", "update", "nodename=en4", "state=resume")


def test_a_full_disk_of_a_node_fails_the_job(
    on_slurm: Bench, real_slurm: Slurm, tmp_path: Path
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    done = real_slurm.on_node(1, "mount", "-t", "tmpfs", "-o", "size=16k", "full", str(full))
    assert done.returncode == 0, done.stderr
    settings = on_slurm.root / "lamina.toml"
    settings.write_text(f'{settings.read_text()}store = "{full}"\n')

    job = on_slurm.submit("-N", "4", "--", "ok")

    assert on_slurm.run("wait", job).returncode == 125
    assert "no space is left" in on_slurm.call("logs", job, "--task", "0").lower()
    real_slurm.on_node(1, "umount", str(full))


def test_nothing_is_submitted_without_the_registry(on_slurm: Bench, tmp_path: Path) -> None:
    settings = on_slurm.root / "lamina.toml"
    text = settings.read_text().replace(f"oci:{tmp_path}/packages", "127.0.0.1:9/team")
    settings.write_text(text + "plain_http = true\n")
    done = on_slurm.run("submit", "//:probe", "--on", "lab", "-q", "--", "ok")

    assert done.returncode == 2
    assert "cannot be used" in done.stderr
    assert on_slurm.call("jobs", "--all", "--json") == "[]\n"


@pytest.mark.parametrize(
    ("how", "code"),
    [("fails", 1), ("interrupted", 130), ("terminated", 143), ("killed", -9)],
)
def test_nothing_is_submitted_and_left_where_there_is_no_package(
    on_slurm: Bench, real_slurm: Slurm, how: str, code: int
) -> None:
    """`sbatch` is there from the beginning, and must not take what it has not been given."""
    ends = "exit 1" if how == "fails" else "sleep 60"
    build = on_slurm.root / "BUILD"
    rule = f'genrule(name = "slow", outs = ["slow.py"], cmd = "sleep 1; {ends}")\n'
    more = 'py"], deps = [":slow_library"]'
    library = 'python_library(name = "slow_library", srcs = [":slow"])\n'
    build.write_text(rule + library + build.read_text().replace('py"]', more, 1))
    submitting = on_slurm.begin("submit", "//:probe", "--on", "lab", "--", "ok")
    until = time.monotonic() + 60
    while not _waiting(on_slurm.root):
        assert time.monotonic() < until and submitting.poll() is None
        time.sleep(0.01)

    if how != "fails":
        signals = {"interrupted": signal.SIGINT, "terminated": signal.SIGTERM}
        submitting.send_signal(signals.get(how, signal.SIGKILL))

    _, complaint = submitting.communicate(timeout=60)
    assert submitting.returncode == code, complaint
    while _waiting(on_slurm.root):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert on_slurm.call("jobs", "--all", "--json") == "[]\n"
    assert "lamina:probe" not in real_slurm.call("squeue", "-h", "-o", "%k")


def _waiting(folder: Path) -> list[Path]:
    """The processes of `sbatch` that were started in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_it = (process / "comm").read_text() == "sbatch\n"
            if is_it and (process / "cwd").readlink() == folder:
                found.append(process)
    return found


def test_what_came_once_is_there_for_all_tasks_of_a_node(
    on_slurm: Bench, real_slurm: Slurm, tmp_path: Path
) -> None:
    """Nodes pull from a registry on their network; the layer goes once to each."""
    inside = real_slurm.words()
    with servers.registry(tmp_path / "registry", address=MASTER, within=inside) as registry:
        settings = on_slurm.root / "lamina.toml"
        text = settings.read_text().replace(f"oci:{tmp_path}/packages", f"{registry.host}/team")
        settings.write_text(text + 'plain_http = true\ntransfer = "pull"\n')
        (on_slurm.root / "probe.py").write_text(
            (on_slurm.root / "probe.py").read_text() + f"# {time.time()}\n"
        )
        job = on_slurm.submit("-N", "4", "--tasks-per-node", "2", "--", "ok")
        assert on_slurm.run("wait", job).returncode == 0
        package = json.loads(on_slurm.call("describe", "--json", job))["package"]
        nodes = json.loads(on_slurm.call("nodes", "--on", "lab", "--json", package))
        assert [node["missing"] for node in nodes] == [0, 0, 0, 0]
        lines = registry.log.read_text().splitlines()
    digest = package.rpartition(":")[2]
    words = ("response completed", "GET", f"/manifests/sha256-{digest}.lamina")
    assert len([line for line in lines if all(word in line for word in words)]) == 4


def test_an_edit_comes_with_the_job(on_slurm: Bench, real_slurm: Slurm, tmp_path: Path) -> None:
    """No node that has the rest asks the registry, not even for one that is there no more."""
    _add_large_layers(on_slurm.root)
    settings, probe = on_slurm.root / "lamina.toml", on_slurm.root / "probe.py"
    usual = settings.read_text() + 'plain_http = true\nstore = "/var/tmp/carried"\n'

    def edit_for(*options: str) -> None:
        probe.write_text(f"{probe.read_text()}# {time.time()}\n")
        for mark in on_slurm.root.glob("mark-*"):
            mark.unlink()  # so that the program does not start over the version before
        (on_slurm.root / f"mark-{time.time()}").touch()
        settings.write_text(f"{usual}options = {list(options)}\n")

    inside = real_slurm.words()
    with servers.registry(tmp_path / "registry", address=MASTER, within=inside) as registry:
        usual = usual.replace(f"oci:{tmp_path}/packages", f"{registry.host}/team")
        edit_for("--nodelist=en[1-3]")
        first = _over(on_slurm, "-N", "3", "--", "ok")
        at_first = _asked(registry.log)
        edit_for("--nodelist=en[1-3]")
        second = _over(on_slurm, "-N", "3", "--tasks-per-node", "2", "--", "env")
        after_an_edit = _asked(registry.log)
        edit_for("--nodelist=en4")
        _over(on_slurm, "-N", "1", "--", "ok")
        at_last = _asked(registry.log)
        edit_for("--nodelist=en[1-4]", "--hold")
        job = on_slurm.submit("-N", "4", "--", "ok")
    found = json.loads(on_slurm.call("describe", "--json", job))
    real_slurm.call("scontrol", "release", found["native"])

    assert on_slurm.run("wait", job).returncode == 0
    assert on_slurm.call("logs", job).count("it came with the job") == 4
    assert set(at_first) == {"1", "2", "3"}
    assert after_an_edit == at_first
    assert set(at_last) == {"1", "2", "3", "4"}  # one had nothing yet
    said = on_slurm.call("logs", second)
    assert said.count("1 layer new") == said.count("it came with the job") == 3
    assert "LAMINA_TASK_INDEX" in said
    assert "LAMINA_CARRIED" not in said
    assert json.loads(on_slurm.call("describe", "--json", first))["sent"]["carried"] == 0
    assert 50_000 < found["sent"]["carried"] <= 1 << 16


def test_a_line_beside_much_data_is_all_that_nodes_are_sent(
    on_slurm: Bench, real_slurm: Slurm, tmp_path: Path
) -> None:
    """A node that has nothing yet waits for the push, which begins after the job."""
    root, settings = on_slurm.root, on_slurm.root / "lamina.toml"
    usual = f'{settings.read_text()}plain_http = true\nstore = "/var/tmp/data'
    _add_large_layers(root)
    heavy = root / "heavy.py"
    inside = real_slurm.words()
    with servers.registry(tmp_path / "registry", address=MASTER, within=inside) as registry:
        usual = usual.replace(f"oci:{tmp_path}/packages", f"{registry.host}/team")
        settings.write_text(f'{usual}"\n')
        _over(on_slurm, "-N", "4", "--", "ok")
        at_first = _asked(registry.log)
        (root / "BUILD").write_text((root / "BUILD").read_text().replace(
            'srcs = ["heavy.py"]', 'srcs = ["heavy.py", "light.py"]'
        ))  # fmt: skip
        for number in range(2):
            (root / "light.py").write_text(f"NUMBER = {number}\n")
            job = _over(on_slurm, "-N", "4", "--", "ok")
            told = json.loads(on_slurm.call("describe", "--json", job))
            assert told["sent"]["carried"] < 10_000
        after_edits = _asked(registry.log)
        settings.write_text(f'{usual}-of-another"\n')
        heavy.write_text(heavy.read_text() + "# more\n")
        last = _over(on_slurm, "-N", "2", "--", "ok")

    assert after_edits == at_first
    assert on_slurm.call("logs", last).count("ok rank") == 2


@pytest.mark.parametrize(("how", "code"), [("the registry ends", 2), ("interrupted", 130)])
def test_a_job_whose_package_was_not_pushed_as_a_whole_is_cancelled(
    on_slurm: Bench, real_slurm: Slurm, tmp_path: Path, how: str, code: int
) -> None:
    """It is submitted as soon as nodes can have the package, and the push fails after that."""
    settings, probe = on_slurm.root / "lamina.toml", on_slurm.root / "probe.py"
    inside = real_slurm.words()
    with servers.registry(tmp_path / "registry", address=MASTER, within=inside) as registry:
        text = settings.read_text().replace(f"oci:{tmp_path}/packages", f"{registry.host}/team")
        settings.write_text(f"{text}plain_http = true\n")
        _over(on_slurm, "-N", "1", "--", "ok")
        probe.write_text(f"{probe.read_text()}# {time.time()}\n")
        for uploads in list((tmp_path / "registry").rglob("_uploads")):
            uploads.rename(uploads.with_name("before"))
            uploads.write_text("no folder")  # so it takes manifests, and no blob
        submitting = on_slurm.begin("submit", "//:probe", "--on", "lab", "-q", "--", "sleep")
        until = time.monotonic() + 60
        while "|lamina:probe-" not in real_slurm.call("squeue", "-h", "-o", "|%k"):
            assert time.monotonic() < until and submitting.poll() is None
            time.sleep(0.1)
        if how == "interrupted":
            submitting.send_signal(signal.SIGINT)
            submitting.wait(60)
    _, complaint = submitting.communicate(timeout=120)

    assert submitting.returncode == code
    said = re.search(r"the job (\S+) is cancelled: its package was not pushed", complaint)
    assert said, complaint
    found = on_slurm.until(said[1], lambda status: status["state"] not in ("pending", "running"))
    assert found["state"] == "cancelled"


def _add_large_layers(root: Path) -> None:
    """Let the probe have a layer that cannot travel with a job, and a layer that just can."""
    digits = "".join(hashlib.sha256(b"%d" % each).hexdigest() for each in range(5000))
    (root / "heavy.py").write_text(f"DATA = '{digits}'\n")
    (root / "probe.py").write_text(f"{(root / 'probe.py').read_text()}# {digits[:72_000]}\n")
    more = 'py"], deps = [":heavy"], resources = glob(["mark-*"]))'
    build = (root / "BUILD").read_text().replace('py"])', more)
    library = 'python_library(name = "heavy", srcs = ["heavy.py"])\n'
    (root / "BUILD").write_text(library + build)


def _asked(log: Path) -> list[str]:
    """The nodes that have asked a registry, once for each line that it has written of that."""
    return re.findall(r"remoteaddr=\"?10\.99\.0\.([1-4]):", log.read_text())


def test_nodes_get_a_package_before_it_is_needed(on_slurm: Bench) -> None:
    (on_slurm.root / "probe.py").write_text(f"print({time.time()})\n")
    done = json.loads(on_slurm.call("prefetch", "//:probe", "--on", "lab", "-q", "--json"))

    assert sorted(node["node"] for node in done["nodes"]) == ["en1", "en2", "en3", "en4"]
    assert all(node["bytes"] > 0 for node in done["nodes"])
    again = json.loads(on_slurm.call("prefetch", done["reference"], "--on", "lab", "--json"))
    assert [node["bytes"] for node in again["nodes"]] == [0, 0, 0, 0]


def test_nodes_can_unpack_ahead_what_jobs_with_bounds_do_not(on_slurm: Bench) -> None:
    (on_slurm.root / "large.bin").write_bytes(random.Random(1).randbytes(2 << 20))
    build = on_slurm.root / "BUILD"
    build.write_text(
        f'{build.read_text()}\npython_library(name = "large", resources = ["large.bin"])\n'
        'python_binary(name = "using", srcs = ["using.py"], deps = [":large"])\n'
    )
    (on_slurm.root / "using.py").write_text("print(1)\n")
    count = 'find "$LAMINA_STORE/laid" -name large.bin | wc -l | sed "s/^/folders: /"'

    def folders() -> list[str]:
        words = ("submit", "-q", "--on", "lab", "-N", "2", "--memory", "200M", "--setup", count)
        job = on_slurm.call(*words, "//:using").split()[-1]
        assert on_slurm.run("wait", job).returncode == 0
        lines = on_slurm.call("logs", job).splitlines()
        return [line.rpartition(": ")[2] for line in lines if "folders: " in line]

    assert [folders() for _ in range(2)] == [["0", "0"]] * 2
    on_slurm.call("prefetch", "//:using", "--on", "lab", "-q", "--unpack", "--json")
    assert folders() == ["1", "1"]


def test_a_job_prefers_nodes_that_have_most_of_its_package(
    on_slurm: Bench, real_slurm: Slurm
) -> None:
    settings, probe = on_slurm.root / "lamina.toml", on_slurm.root / "probe.py"
    usual = settings.read_text()
    probe.write_text(f"print({time.time()})\n")
    settings.write_text(f'{usual}options = ["--nodelist=en3"]\n')
    package = json.loads(on_slurm.call("describe", "--json", _over(on_slurm)))["package"]
    settings.write_text(f"{usual}prefer_warm = true\n")
    try:
        unlabelled = on_slurm.call("submit", "//:probe", "--on", "lab", "--dry-run")
        said = [on_slurm.run("nodes", package, "--on", "lab", "--label").stderr for _ in range(2)]
        probe.write_text(probe.read_text() + "# another version\n")
        ran = [on_slurm.status(_over(on_slurm))["nodes"] for _ in range(2)]
        many = [
            on_slurm.status(_over(on_slurm, *words))["state"]
            for words in (["-N", "4"], ["-n", "4"])
        ]
    finally:
        lists = [f"{each}Features=" for each in ("Available", "Active")]
        real_slurm.call("scontrol", "update", "nodename=en[1-4]", *lists)

    assert "--prefer" not in unlabelled
    assert "labelled 1 node, 1 anew" in said[0]
    assert "labelled 1 node, 0 anew" in said[1]
    assert ran == [["en3"], ["en3"]]
    assert many == ["succeeded"] * 2


def _over(bench: Bench, *words: str) -> str:
    """A job that has come to its end."""
    job = bench.submit(*(words or ("-N", "1")))
    assert bench.run("wait", job).returncode == 0
    return job


def test_a_job_is_known_to_others_by_its_number(on_slurm: Bench, tmp_path: Path) -> None:
    job = on_slurm.submit("--", "sleep")
    record = json.loads(on_slurm.call("describe", "--json", job))
    elsewhere = {**on_slurm.environment, "XDG_STATE_HOME": str(tmp_path / "elsewhere")}
    other = Bench(on_slurm.root, "lab", on_slurm.words, elsewhere)
    on_slurm.until_printed(job, "sleep rank")

    (found,) = json.loads(other.call("jobs", "--on", "lab", "--json"))
    assert (found["id"], found["native"], found["state"]) == (job, record["native"], "running")
    assert other.status(f"lab:{record['native']}")["state"] == "running"
    # Before it stands what came, where the node had to fetch something.
    assert other.call("logs", f"lab:{record['native']}").splitlines()[-1] == "sleep rank 0"
    assert other.run("cancel", f"lab:{record['native']}").returncode == 0
    assert on_slurm.status(job)["state"] == "cancelled"


def test_what_slurm_has_forgotten_is_told_by_the_job(on_slurm: Bench) -> None:
    done, lost = (on_slurm.submit("--wait", "--", "ok") for _ in range(2))
    for job in (done, lost):
        on_slurm.until(job, lambda status: status["state"] == "succeeded")
        path = Path(json.loads(on_slurm.call("describe", "--json", job))["folder"]) / "job.json"
        kept = json.loads(path.read_text())
        path.write_text(json.dumps({**kept, "native": "999999"}))
        if job == lost:
            (path.parent / "exit-0").unlink()

    assert on_slurm.status(done)["state"] == "succeeded"
    assert on_slurm.status(lost)["state"] == "lost"


def test_slurm_that_cannot_be_asked_is_told(on_slurm: Bench, tmp_path: Path) -> None:
    nowhere = tmp_path / "slurm.conf"
    nowhere.write_text("ClusterName=x\nSlurmctldHost=nowhere(127.0.0.1)\n")
    on_slurm.environment["SLURM_CONF"] = str(nowhere)

    done = on_slurm.run("jobs", "--on", "lab")

    assert done.returncode == 2
    assert done.stderr.startswith("error: `squeue`")


def _until_idle(real_slurm: Slurm) -> None:
    until = time.monotonic() + 60
    while not real_slurm.is_idle(4):
        assert time.monotonic() < until, real_slurm.call("sinfo")
        time.sleep(0.1)


def test_a_broadcast_brings_a_package_to_all_nodes(on_slurm: Bench, real_slurm: Slurm) -> None:
    settings = on_slurm.root / "lamina.toml"
    settings.write_text(settings.read_text() + 'transfer = "broadcast"\n')
    probe = on_slurm.root / "probe.py"
    probe.write_text(f"{probe.read_text()}# {time.time()}\n")

    job = on_slurm.submit("-N", "4", "--", "ok")

    assert on_slurm.run("wait", job).returncode == 0
    folder = Path(json.loads(on_slurm.call("describe", "--json", job))["folder"])
    said = (folder / "batch.log").read_text()
    assert said.count("pulled `oci-archive:") == 4
    assert "error" not in said
    for number in range(1, 5):
        assert "lamina-" not in real_slurm.on_node(number, "sh", "-c", "ls /var/tmp/*.tar").stdout
