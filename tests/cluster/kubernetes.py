"""What acts in a cluster of Kubernetes, played by hand through its API: controllers and a kubelet.

`small` is the server of `apiserver`. `real` starts the `kube-apiserver` in the folder that
`LAMINA_KUBERNETES` names, with the `etcd` in it or of the system; docs/kubernetes.md tells how one
is made of Debian's sources.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests import servers
from tests.cluster import apiserver
from tests.cluster.apiserver import TOKEN, WITHOUT_RIGHTS, Kept, Object

REAL = "LAMINA_KUBERNETES"
_PATIENCE = 60  # seconds for a real server to start
_FINAL = {"Complete", "Failed"}


@dataclass
class Kubelet:
    """The logs of a node's containers, as a kubelet serves them."""

    port: int = 0
    lines: dict[str, list[tuple[datetime, bytes]]] = field(default_factory=dict)  # by pod
    asked: list[str] = field(default_factory=list)

    def answer(self, pod: str, words: dict[str, str]) -> bytes:
        """The log of a pod, each line behind its time where that is asked for."""
        since = words.get("sinceTime")
        begin = datetime.fromisoformat(since.replace("Z", "+00:00")) if since else None
        self.asked.append(since or "")
        found = b""
        for when, text in self.lines.get(pod, []):
            if begin is not None and when < begin:
                continue
            if words.get("timestamps") == "true" and (not found or found.endswith(b"\n")):
                found += when.strftime("%Y-%m-%dT%H:%M:%S.%f000Z ").encode()
            found += text
        return found


class Lab:
    """A cluster, and what happens in it."""

    def __init__(self, address: str, kubelet: Kubelet, kept: Kept | None) -> None:
        self.address, self.kubelet, self.kept = address, kubelet, kept
        self.has_collector = False
        self._numbers = itertools.count()

    def settings(self, folder: Path, *, token: str = TOKEN, address: str = "") -> Path:
        """Settings of kubectl for this cluster."""
        cluster = {"server": address or self.address, "insecure-skip-tls-verify": True}
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "mira", "user": {"token": token}}],
            "contexts": [
                {"name": "lab", "context": {"cluster": "lab", "user": "mira"}},
                {"name": "team", "context": {"cluster": "lab", "user": "mira",
                                             "namespace": "team"}},
            ],
        }  # fmt: skip
        path = folder / "kubeconfig"
        path.write_text(json.dumps(document))
        return path

    def ask(self, method: str, path: str, body: Object | None = None) -> Object:
        """Say something to the API; raises HTTPError."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(
            self.address + path,
            data=json.dumps(body).encode() if body is not None else None,
            method=method,
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": kind},
        )
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(request, context=trusting, timeout=20) as answer:
            found: Object = json.load(answer)
            return found

    def add_node(self, name: str, **labels: str) -> None:
        """A machine with four processors and a GPU."""
        self.ask("POST", "/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
        })  # fmt: skip
        has = {"cpu": "3920m", "memory": "16Gi", "nvidia.com/gpu": "1", "pods": "110"}
        self.ask("PATCH", f"/api/v1/nodes/{name}/status", {"status": {
            "allocatable": has, "capacity": has,
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.kubelet.port}},
            "conditions": [{"type": "Ready", "status": "True"}],
        }})  # fmt: skip

    def job(self, name: str, namespace: str = "default") -> Object:
        """A Job as it is now."""
        return self.ask("GET", f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}")

    def listed(self, plural: str, namespace: str = "default") -> list[Object]:
        """All objects of a kind."""
        group = "/apis/batch/v1" if plural == "jobs" else "/api/v1"
        found: list[Object] = self.ask("GET", f"{group}/namespaces/{namespace}/{plural}")["items"]
        return found

    def pod(self, job: Object, index: int, *, node: str = "n1", failures: int = 0) -> str:
        """Make the pod of an index, as the controller of Jobs does."""
        metadata = job["metadata"]
        namespace, template = metadata["namespace"], job["spec"]["template"]
        name = f"{metadata['name']}-{index}-{next(self._numbers):05}"
        owner = {
            "apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"],
            "uid": metadata["uid"], "controller": True, "blockOwnerDeletion": True,
        }  # fmt: skip
        spec = {**template["spec"], "hostname": f"{metadata['name']}-{index}"}
        if node:
            spec["nodeName"] = node
        notes = {
            "batch.kubernetes.io/job-completion-index": str(index),
            "batch.kubernetes.io/job-index-failure-count": str(failures),
        }
        self.ask("POST", f"/api/v1/namespaces/{namespace}/pods", {
            "apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": {
                "name": name, "namespace": namespace, "labels": template["metadata"]["labels"],
                "annotations": notes, "ownerReferences": [owner],
            },
        })  # fmt: skip
        return f"{namespace}/{name}"

    def set(self, pod: str, phase: str, **status: object) -> None:
        """What the kubelet tells of a pod."""
        namespace, _, name = pod.partition("/")
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        self.ask("PATCH", path, {"status": {"phase": phase, **status}})

    def start(self, pod: str) -> None:
        """Its container runs."""
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": _now()}
        states = [_container({"running": {"startedAt": _now()}})]
        self.set(pod, "Running", conditions=[scheduled], containerStatuses=states)

    def end(self, pod: str, code: int, reason: str = "", **more: object) -> None:
        """Its container ends; `more` is what the pod's status says besides."""
        ended = {
            "exitCode": code, "reason": reason or ("Error" if code else "Completed"),
            "startedAt": _now(), "finishedAt": _now(),
        }  # fmt: skip
        statuses = [_container({"terminated": ended})]
        self.set(pod, "Failed" if code else "Succeeded", containerStatuses=statuses, **more)

    def wait(self, pod: str, reason: str, message: str) -> None:
        """Its container cannot begin."""
        waiting = {"waiting": {"reason": reason, "message": message}}
        self.set(pod, "Pending", containerStatuses=[_container(waiting)])

    def close(self, name: str, how: str, reason: str = "", namespace: str = "default") -> None:
        """The Job is over, as its controller tells: `Complete` or `Failed`."""
        assert how in _FINAL
        condition = {"type": how, "status": "True", "reason": reason, "message": "it was told so",
                     "lastTransitionTime": _now(), "lastProbeTime": _now()}  # fmt: skip
        status: Object = {"conditions": [condition], "startTime": _now()}
        if how == "Complete":
            status["completionTime"] = _now()
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}/status"
        self.ask("PATCH", path, {"status": status})

    def print(self, pod: str, text: bytes, at: float = 0.0) -> None:
        """Its program prints something; `at` is when, in seconds since the epoch."""
        when = datetime.fromtimestamp(at or time.time(), UTC)
        lines = self.kubelet.lines.setdefault(pod, [])
        lines += [(when, line) for line in text.splitlines(keepends=True)]

    def collect(self, namespace: str = "default") -> None:
        """Remove what belongs to objects that are being deleted, then those.

        Where the collector of Kubernetes itself is there, only what kubelets do is done here.
        """
        until = time.monotonic() + _PATIENCE
        while going := [
            job["metadata"]
            for job in self.listed("jobs", namespace)
            if "foregroundDeletion" in job["metadata"].get("finalizers", [])
        ]:
            for plural in ("pods", "services", "configmaps"):
                for each in self.listed(plural, namespace):
                    self._collect_one(plural, each["metadata"], going)
            for metadata in () if self.has_collector else going:
                path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{metadata['name']}"
                self.ask("PATCH", path, {"metadata": {"finalizers": []}})
            assert time.monotonic() < until, f"it is still there: {going}"
            time.sleep(0.05)

    def tell(self, pod: str, reason: str, at: datetime, message: str = "") -> None:
        """An event of the kubelet about a pod."""
        namespace, _, name = pod.partition("/")
        metadata = self.ask("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")["metadata"]
        when = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.ask("POST", f"/api/v1/namespaces/{namespace}/events", {
            "apiVersion": "v1", "kind": "Event", "type": "Normal", "reason": reason,
            "message": message,
            "metadata": {"name": f"{name}.{next(self._numbers)}", "namespace": namespace},
            "firstTimestamp": when, "lastTimestamp": when,
            "involvedObject": {"kind": "Pod", "namespace": namespace, "name": name,
                               "uid": metadata["uid"]},
        })  # fmt: skip

    def _collect_one(self, plural: str, metadata: Object, going: list[Object]) -> None:
        owners = {owner["uid"] for owner in metadata.get("ownerReferences", [])}
        if self.has_collector:
            wanted = plural == "pods" and "deletionTimestamp" in metadata
        else:
            wanted = bool(owners & {each["uid"] for each in going})
        if wanted:
            path = f"/api/v1/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"
            with contextlib.suppress(urllib.error.HTTPError):  # it went in the meantime
                self.ask("DELETE", path, {"gracePeriodSeconds": 0})


def _container(state: Object) -> Object:
    return {
        "name": "task", "image": "x", "imageID": "", "ready": "running" in state,
        "restartCount": 0, "state": state,
    }  # fmt: skip


def _now() -> str:
    return apiserver.now()


@contextlib.contextmanager
def _kubelet(folder: Path) -> Iterator[Kubelet]:
    """A server of logs, with TLS as kubelets have it."""
    found = Kubelet()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            _, _, namespace, pod, _ = address.path.split("/")
            data = found.answer(f"{namespace}/{pod}", dict(parse_qsl(address.query)))
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    tls = servers.make_tls(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    server = servers.Quick(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def small(folder: Path) -> Iterator[Lab]:
    """A cluster of one node, behind the small server."""
    with apiserver.running() as server, _kubelet(folder) as kubelet:
        lab = Lab(server.address, kubelet, server.kept)
        lab.add_node("n1", zone="a")
        yield lab


@contextlib.contextmanager
def real(folder: Path) -> Iterator[Lab]:
    """The same behind a real server; the test is skipped where there is none."""
    place = os.environ.get(REAL)
    if not place:
        pytest.skip(f"no kube-apiserver is here: `{REAL}` names the folder of one")
    path = f"{place}:{os.environ['PATH']}"
    programs = {name: shutil.which(name, path=path) for name in ("etcd", "kube-apiserver")}
    found = {name: program for name, program in programs.items() if program}
    if len(found) < len(programs):
        pytest.skip(f"`{place}` has no kube-apiserver, or there is no etcd")
    with contextlib.ExitStack() as stack:
        kubelet = stack.enter_context(_kubelet(folder))
        address = stack.enter_context(_processes(folder, found))
        lab = Lab(address, kubelet, None)
        if manager := shutil.which("kube-controller-manager", path=path):
            collector = stack.enter_context(_collector(folder, lab, manager))
            lab.has_collector = collector.poll() is None
        lab.ask("POST", "/api/v1/namespaces", {
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"},
        })  # fmt: skip
        lab.add_node("n1", zone="a")
        yield lab


@contextlib.contextmanager
def _processes(folder: Path, programs: dict[str, str]) -> Iterator[str]:
    etcd, peer, port = _free_port(), _free_port(), _free_port()
    (folder / "tokens").write_text(
        f'{TOKEN},root,1,"system:masters"\n{WITHOUT_RIGHTS},mira,2\n'
    )  # fmt: skip
    key = folder / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], capture_output=True, check=True)
    commands: list[list[object]] = [
        [programs["etcd"], "--data-dir", folder / "etcd",
         "--listen-client-urls", f"http://127.0.0.1:{etcd}",
         "--advertise-client-urls", f"http://127.0.0.1:{etcd}",
         "--listen-peer-urls", f"http://127.0.0.1:{peer}"],
        [programs["kube-apiserver"], f"--etcd-servers=http://127.0.0.1:{etcd}",
         "--bind-address=127.0.0.1", f"--secure-port={port}", "--advertise-address=127.0.0.1",
         f"--cert-dir={folder / 'certificates'}", f"--token-auth-file={folder / 'tokens'}",
         "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
         "--service-account-issuer=https://lab", f"--service-account-key-file={key}",
         f"--service-account-signing-key-file={key}",
         "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition"],
    ]  # fmt: skip
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number, command in enumerate(commands):
            with (folder / f"server-{number}.log").open("wb") as log:
                started.append(
                    subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
                )
        _await(f"https://127.0.0.1:{port}/readyz", started[-1], folder / "server-1.log")
        yield f"https://127.0.0.1:{port}"
    finally:
        for each in reversed(started):
            each.terminate()
        for each in started:
            each.wait(30)


@contextlib.contextmanager
def _collector(folder: Path, lab: Lab, program: str) -> Iterator[subprocess.Popen[bytes]]:
    """What removes objects with what belongs to them, of the controllers that Kubernetes has."""
    settings = lab.settings(folder)
    with (folder / "controllers.log").open("wb") as log:
        started = subprocess.Popen(
            [program, f"--kubeconfig={settings}", "--controllers=garbagecollector",
             "--leader-elect=false", f"--cert-dir={folder / 'certificates'}",
             "--bind-address=127.0.0.1", f"--secure-port={_free_port()}", "--port=0"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield started
    finally:
        started.terminate()
        started.wait(30)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _await(address: str, started: subprocess.Popen[bytes], log: Path) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {TOKEN}"})
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            urllib.request.urlopen(request, context=trusting, timeout=5).close()
        except OSError:
            if started.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"it does not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.1)
        else:
            return
