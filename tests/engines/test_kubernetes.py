"""A job as Kubernetes has it: what the API was told, run by podman as a kubelet would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import kubernetes
from tests.cluster.kubernetes import Lab

from . import servers
from .conftest import SOURCES, need
from .servers import Registry, Run

Call = Callable[..., subprocess.CompletedProcess[str]]

PROGRAM = """\
import os, sys
names = ("RANK", "WORLD_SIZE", "LAMINA_TASK_INDEX", "MASTER_PORT", "X", "FROM_SETUP", "FROM_BASE")
print(sys.argv[1:], *(os.environ.get(name, "-") for name in names))
sys.exit(int(os.environ["RANK"]) * 3)
"""
BUILD = """\
python_binary(name = "main", main = "main.py")
job(
    name = "train",
    binary = ":main",
    args = ["--n", "$(RANK) $$"],
    env = {"X": "a $(b) c"},
    tasks = 2,
)
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with kubernetes.small(tmp_path) as found:
        yield found


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with servers.registry(tmp_path) as found:
        yield found


@pytest.fixture
def project(tmp_path: Path, base: Path, registry: Registry) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "lamina.toml").write_text(
        f'[cluster.k]\nlauncher = "kubernetes"\nregistry = "{registry.place}/team"\n'
        f'image = "{base}"\n'
    )
    (root / "BUILD").write_text(BUILD)
    (root / "main.py").write_text(PROGRAM)
    return root


@pytest.fixture
def call(lab: Lab, project: Path, store: Path, tmp_path: Path) -> Call:
    settings = lab.settings(tmp_path)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lamina.cli", *words],
            cwd=project,
            env={
                **os.environ, "LAMINA_STORE": str(store), "PYTHONPATH": str(SOURCES),
                "KUBECONFIG": str(settings), "XDG_STATE_HOME": str(tmp_path / "state"),
            },
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def told(call: Call, *words: str) -> str:
    done = call(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def as_a_kubelet(podman: Run, container: dict[str, Any], index: int) -> str:
    """What a container of a pod prints."""
    known: dict[str, str] = {}
    for each in container["env"]:
        path = each.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", "")
        value = str(index) if "completion-index" in path else each.get("value", "")
        known[each["name"]] = expanded(value, known)
    words = ["run", "--rm", "--tls-verify=false", "--network", "host", "--cap-drop", "all"]
    words += ["--security-opt", "no-new-privileges", "--ulimit", "nofile=1024:1024"]
    words += ["--ulimit", "nproc=1024:1024"]
    for name, value in known.items():
        words += ["--env", f"{name}={value}"]
    command, arguments = (
        [expanded(word, known) for word in container.get(part, ())] for part in ("command", "args")
    )
    if command:
        words += ["--entrypoint", command[0]]
    return podman(*words, container["image"], *command[1:], *arguments)


def expanded(text: str, known: dict[str, str]) -> str:
    return re.sub(
        r"\$(\$|\(([^)]*)\))",
        lambda found: "$" if found[1] == "$" else known.get(found[2], found[0]),
        text,
    )


@pytest.mark.parametrize("setup", [(), ("--setup", "export FROM_SETUP='$$(yes)'")])
def test_a_job_from_submission_to_its_end(
    lab: Lab, call: Call, podman: Run, setup: tuple[str, ...]
) -> None:
    name = told(call, "submit", "//:train", "--on", "k", *setup, "--", "more words")
    job = lab.job(name)
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert re.fullmatch(r"127\.0\.0\.1:\d+/team/main@sha256:[0-9a-f]{64}", container["image"])

    pods = [lab.pod(job, index) for index in range(2)]
    lab.start(pods[0])
    printed = as_a_kubelet(podman, container, 0)
    lab.print(pods[0], printed.encode())

    after = "$$(yes)" if setup else "-"
    line = f"['--n', '$(RANK) $$', 'more words'] 0 2 0 29500 a $(b) c {after} yes"
    assert printed == f"{line}\n"
    assert told(call, "logs", name) == f"0: {line}"
    assert told(call, "status", name) == f"{name}: running"
    lab.end(pods[0], 0)
    lab.end(pods[1], 3)
    lab.close(name, "Failed", "BackoffLimitExceeded")
    assert call("wait", name).returncode == 3
    assert "n1" in told(call, "describe", name)


def test_an_edit_sends_one_layer_and_cancel_ends_it(
    lab: Lab, call: Call, project: Path, registry: Registry
) -> None:
    first = told(call, "submit", "//:main", "--on", "k")
    before = registry.blobs
    (project / "main.py").write_text(PROGRAM.replace("sys.exit", "print(1); sys.exit"))

    second = told(call, "submit", "//:main", "--on", "k")

    assert len(registry.blobs - before) == 3  # a layer, the configuration, the manifest
    assert second != first
    with ThreadPoolExecutor(1) as pool:
        cancelling = pool.submit(told, call, "cancel", second)
        while not cancelling.done():
            lab.collect()
            time.sleep(0.1)
        cancelling.result()
    assert told(call, "status", second) == f"{second}: cancelled"
    assert first in told(call, "jobs", "--on", "k")
    assert told(call, "logs", f"k:default/{first}") == ""


def test_the_image_below_may_be_one_of_a_registry(
    call: Call, lab: Lab, project: Path, base: Path, registry: Registry, tmp_path: Path
) -> None:
    skopeo, digest = need("skopeo"), tmp_path / "digest"
    place = f"{registry.place}/base"
    copied = ("--insecure-policy", "--dest-tls-verify=false", "--digestfile", digest)
    servers.call(skopeo, "copy", *copied, f"docker-archive:{base}", f"docker://{place}:1")
    settings = project / "lamina.toml"
    settings.write_text(settings.read_text().replace(str(base), f"{place}@{digest.read_text()}"))

    name = told(call, "submit", "//:main", "--on", "k")

    [container] = lab.job(name)["spec"]["template"]["spec"]["containers"]
    raw = (skopeo, "inspect", "--tls-verify=false", "--raw")
    ours, below = (
        json.loads(servers.call(*raw, f"docker://{image}"))["layers"]
        for image in (container["image"], f"{place}:1")
    )
    assert ours[0]["digest"] == below[0]["digest"]

    settings.write_text(settings.read_text().replace("sha256:", "sha256:0"))
    assert "`image` of the cluster `k`" in call("submit", "//:main", "--on", "k").stderr
