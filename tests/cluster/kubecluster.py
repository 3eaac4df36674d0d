"""A real Kubernetes on this machine: a control plane, and nodes with a kubelet and a containerd.

`kube-apiserver`, its controllers, the scheduler and `kubelet` are those in the folder that
`LAMINA_KUBERNETES` names (docs/kubernetes.md tells how they are built); containerd, runc and the
CNI plugins are Debian's.

What can be built knows no Indexed Jobs: `kubeindexes` gives the pods of Jobs their index. And there
is no name server for clusters here: `kubedns` is in its place. All else is Kubernetes itself.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests import servers
from tests.cluster import kubeimages
from tests.cluster.apiserver import TOKEN, WITHOUT_RIGHTS
from tests.cluster.kubenodes import API, MASTER, PATIENCE, PAUSE, PLUGINS, Kubernetes
from tests.cluster.links import add_nodes, add_switch, do
from tests.cluster.slurm import remove_groups

REAL = "LAMINA_KUBERNETES"
OF_KUBERNETES = (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet",
)  # fmt: skip
PROGRAMS = (
    "containerd", "ctr", "runc", "docker-registry", "ip", "gcc", "openssl", "nsenter", "curl",
)  # fmt: skip
_WEBHOOK = 8443  # its port
_SOURCES = Path(__file__).parents[2]
_CONTROLLERS = (
    "job", "ttl-after-finished", "garbagecollector", "namespace", "serviceaccount",
    "serviceaccount-token", "nodelifecycle", "endpoint", "endpointslice", "podgc", "resourcequota",
)  # fmt: skip


@contextlib.contextmanager
def cluster(top: Path, count: int) -> Iterator[Kubernetes]:
    """Start a cluster, and stop it; raises RuntimeError where its nodes do not come up."""
    found = Kubernetes(top, Path(os.environ[REAL]), count, f"k{os.getpid()}n")
    top.mkdir(parents=True)
    try:
        _network(found)
        kubeimages.pause(top / "pause.tar", PAUSE)
        kubeimages.base(found.base)
        _control_plane(found)
        for number in range(1, count + 1):
            found.boot(number)
        found.await_ready(count)
        yield found
    finally:
        stop(found)


def lacks() -> str:
    """Why there can be no cluster here; empty where there can."""
    place = os.environ.get(REAL)
    if not place:
        return f"no Kubernetes is here: `{REAL}` names the folder of one"
    if os.geteuid() != 0:
        return "only root can make the namespaces of nodes"
    gone = [each for each in OF_KUBERNETES if not (Path(place) / each).is_file()]
    gone += [each for each in PROGRAMS if shutil.which(each) is None]
    gone += [] if (PLUGINS / "bridge").is_file() else ["containernetworking-plugins"]
    if gone:
        return f"not there: {', '.join(gone)}"
    if not Path("/sys/fs/cgroup/memory").is_dir():
        return "the controllers of cgroup v1 are not here, which a kubelet of 1.20 needs"
    return ""


def _network(found: Kubernetes) -> None:
    switch = found.switch
    add_switch(switch, MASTER)
    do("ip", "-n", switch, "route", "add", "default", "dev", "br0")
    for number, node, _ in add_nodes(switch, found.prefix, found.count, "10.97.0"):
        do("ip", "-n", node, "route", "add", "default", "via", MASTER)
        do("ip", "-n", switch, "route", "add", f"10.96.{number}.0/24", "via", f"10.97.0.{number}")
    do(*found.words("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"))


def start_registry(found: Kubernetes) -> subprocess.Popen[bytes]:
    """Start the registry; the nodes reach it over their links."""
    settings = found.top / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {found.top}/registry}}}}"
    settings.write_text(f'version: 0.1\n{storage}\nhttp: {{addr: "{found.registry}"}}\n')
    return _start(found, "docker-registry", "serve", str(settings))


def _control_plane(found: Kubernetes) -> None:
    """Start it, with a registry beside it, and wait until it answers."""
    top = found.top
    tls = servers.make_tls(top / "tls")
    key = top / "accounts.key"
    do("openssl", "genrsa", "-out", str(key), "2048")
    (top / "tokens").write_text(f'{TOKEN},root,1,"system:masters"\n{WITHOUT_RIGHTS},mira,2\n')
    found.settings.write_text(json.dumps(_settings()))
    gates = "--feature-gates=TTLAfterFinished=true"
    start_registry(found)
    _start(found, "etcd", "--data-dir", f"{top}/etcd", "--unsafe-no-fsync")
    _start(
        found, "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", gates,
        f"--bind-address={MASTER}", f"--secure-port={API}", f"--advertise-address={MASTER}",
        f"--cert-dir={top}/certificates", f"--token-auth-file={top}/tokens",
        "--authorization-mode=RBAC", "--service-cluster-ip-range=10.95.0.0/24",
        "--service-account-issuer=https://lab", f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}", "--kubelet-preferred-address-types=InternalIP",
        "--default-not-ready-toleration-seconds=20", "--default-unreachable-toleration-seconds=20",
    )  # fmt: skip
    _await(found)
    for program, more in {
        "kube-controller-manager": [
            f"--controllers={','.join(_CONTROLLERS)}",
            gates,
            "--node-monitor-period=1s",
            "--node-monitor-grace-period=8s",
            f"--service-account-private-key-file={key}",
            f"--cert-dir={top}/certificates",
        ],
        "kube-scheduler": [f"--cert-dir={top}/certificates"],
    }.items():
        _start(
            found, program, f"--kubeconfig={found.settings}", "--leader-elect=false",
            "--bind-address=127.0.0.1", "--port=0", *more,
        )  # fmt: skip
    api = (f"https://{MASTER}:{API}", TOKEN)
    _python(found, "kubedns", MASTER, *api)
    _python(found, "kubeindexes", str(_WEBHOOK), str(tls.certificate), str(tls.key), *api)
    found.ask(
        "POST", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        _webhook(tls.ca),
    )  # fmt: skip


def _python(found: Kubernetes, module: str, *words: str) -> None:
    _run(found, module, sys.executable, "-m", f"tests.cluster.{module}", *words)


def _start(found: Kubernetes, program: str, *words: str) -> subprocess.Popen[bytes]:
    path = found.place / program
    return _run(found, program, str(path) if path.is_file() else program, *words)


def _run(found: Kubernetes, name: str, *words: str) -> subprocess.Popen[bytes]:
    command = found.words(*words)
    with (found.top / f"{name}.log").open("wb") as log:
        started = subprocess.Popen(
            command, cwd=_SOURCES, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    found.started.append(started)
    return started


def _await(found: Kubernetes) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            found.ask("GET", "/api/v1/namespaces/default")
        except (RuntimeError, ValueError) as error:
            if time.monotonic() > until or found.started[-1].poll() is not None:
                said = (found.top / "kube-apiserver.log").read_text()[-2000:]
                raise RuntimeError(f"no API server: {error}\n{said}") from None
            time.sleep(0.2)
        else:
            return


def _settings() -> Mapping[str, object]:
    cluster = {"server": f"https://{MASTER}:{API}", "insecure-skip-tls-verify": True}
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "mira", "user": {"token": TOKEN}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "mira"}}],
    }  # fmt: skip


def _webhook(ca: Path) -> object:
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
            "resources": ["pods"]}  # fmt: skip
    return {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "indexes"},
        "webhooks": [{
            "name": "indexes.lab.site", "rules": [rule], "sideEffects": "NoneOnDryRun",
            "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
            "objectSelector": {"matchExpressions": [{"key": "lamina.job", "operator": "Exists"}]},
            "clientConfig": {
                "url": f"https://127.0.0.1:{_WEBHOOK}/",
                "caBundle": base64.b64encode(ca.read_bytes()).decode(),
            },
        }],
    }  # fmt: skip


def stop(found: Kubernetes) -> None:
    """End all that there may be of a cluster."""
    for boot in found.boots.values():
        boot.kill()
        boot.wait()
    for each in reversed(found.started):
        each.kill()
        each.wait()
    for name in (found.switch, *(f"{found.prefix}{n}" for n in range(1, found.count + 1))):
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    remove_groups(found.prefix)


def main(words: Sequence[str]) -> int:
    """`python -m tests.cluster.kubecluster [N]`: a cluster to play with, until its shell ends."""
    import tempfile

    if why := lacks():
        sys.exit(f"no cluster can be made: {why}")
    with (
        tempfile.TemporaryDirectory(prefix="lamina-kube-") as folder,
        cluster(Path(folder) / "k", int(words[0]) if words else 2) as found,
    ):
        told = {"KUBECONFIG": str(found.settings), "LAB": str(found.top)}
        shell = found.words(os.environ.get("SHELL", "/bin/sh"))
        return subprocess.run(shell, env={**os.environ, **told}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
