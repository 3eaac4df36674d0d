"""A real Kubernetes on this machine: a control plane, and nodes with a kubelet and a containerd.

`kube-apiserver`, its controllers, the scheduler and `kubelet` are those in the folder that
`LAMINA_KUBERNETES` names (docs/kubernetes.md tells how they are built); containerd, runc and the
CNI plugins are Debian's. A node is a set of network, UTS, pid, mount, ipc and cgroup namespaces:
what kubelets write to `/run`, `/var/lib` and `/var/log` is its own, and nothing stays of it.

What can be built knows no Indexed Jobs: `kubeindexes` gives the pods of Jobs their index. And there
is no name server for clusters here: `kubedns` is in its place. All else is Kubernetes itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import servers
from tests.cluster import kubeimages
from tests.cluster.apiserver import TOKEN, WITHOUT_RIGHTS
from tests.cluster.slurm import controllers, do, first_child, group, remove_groups

REAL = "LAMINA_KUBERNETES"
OF_KUBERNETES = (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet",
)  # fmt: skip
PROGRAMS = ("containerd", "ctr", "runc", "docker-registry", "ip", "gcc", "openssl", "nsenter")
PLUGINS = Path("/usr/lib/cni")
_SOURCES = Path(__file__).parents[2]
MASTER = "10.97.0.254"
API, REGISTRY, WEBHOOK = 6443, 5000, 8443
PAUSE = "lab.site/pause:1"
_PATIENCE = 120.0  # seconds for the nodes to be there
# What kubelets would set for the whole machine; each node sees that it is so.
_TUNED = {"vm/overcommit_memory": 1, "kernel/panic": 10, "kernel/panic_on_oops": 1}
_CONTROLLERS = (
    "job", "ttl-after-finished", "garbagecollector", "namespace", "serviceaccount",
    "serviceaccount-token", "nodelifecycle", "endpoint", "endpointslice", "podgc",
)  # fmt: skip
# The first process of a node; when it ends, the kernel ends all others.
_NODE = """\
hostname "$NAME"
mount --make-rprivate /
umount -R /sys/fs/cgroup
mount -t tmpfs -o mode=755 cgroups /sys/fs/cgroup
for each in $CONTROLLERS; do
    mkdir /sys/fs/cgroup/$each
    mount -t cgroup -o $each cgroups /sys/fs/cgroup/$each
done
# containerd hears of no OOM kill unless all that its processes have is mounted.
if grep -q name=systemd /proc/self/cgroup; then
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroups /sys/fs/cgroup/systemd
fi
mount -t overlay -o "lowerdir=/var/lib,upperdir=$TOP/lib,workdir=$TOP/work" overlay /var/lib
mount -t tmpfs -o mode=755 run /run
mount --bind "$TOP/log" /var/log
for each in $TUNED; do
    mount --bind "$TOP/tuned/${each##*/}" "/proc/sys/$each"
done
mount --make-rshared /
echo 1 >/proc/sys/net/ipv4/ip_forward
containerd --config "$TOP/containerd.toml" >>"$TOP/containerd.log" 2>&1 &
until ctr --address /run/containerd/containerd.sock version >/dev/null 2>&1; do sleep 0.1; done
ctr --address /run/containerd/containerd.sock -n k8s.io images import "$PAUSE" >/dev/null
while true; do
    "$KUBELET" --config="$TOP/kubelet.json" --kubeconfig="$SETTINGS" --root-dir="$TOP/kubelet" \\
        --container-runtime=remote --cert-dir="$TOP/kubelet/pki" \\
        --container-runtime-endpoint=unix:///run/containerd/containerd.sock \\
        --volume-plugin-dir="$TOP/plugins" --hostname-override="$NAME" --node-ip="$ADDRESS" \\
        --node-labels="$LABELS" >>"$TOP/kubelet.log" 2>&1 &
    echo $! >"$TOP/kubelet.pid"
    wait $! || true
    until [ ! -e "$TOP/stopped" ]; do sleep 0.1; done
done
"""
_CONTAINERD = """\
version = 2
root = "{top}/containerd"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{top}/cni"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{top}/registries"
"""


@dataclass(slots=True)
class Kubernetes:
    """A cluster that runs."""

    top: Path
    place: Path  # of the programs
    count: int
    prefix: str
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    boots: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def switch(self) -> str:
        """The network namespace of the control plane, and of who submits."""
        return f"{self.prefix}sw"

    @property
    def settings(self) -> Path:
        """Settings of kubectl."""
        return self.top / "kubeconfig"

    @property
    def registry(self) -> str:
        """The `host:port` of a registry, which all reach."""
        return f"{MASTER}:{REGISTRY}"

    @property
    def base(self) -> Path:
        """An image with a shell and Python."""
        return self.top / "base"

    def words(self, *words: str) -> list[str]:
        """A command as one that runs beside the control plane."""
        return ["nsenter", f"--net=/run/netns/{self.switch}", "--", *words]

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Say something to the API."""
        kind = "merge-patch+json" if method == "PATCH" else "json"
        words = [
            "curl", "-ksS", "--fail-with-body", "-X", method, "-H",
            f"Authorization: Bearer {TOKEN}", "-H", f"Content-Type: application/{kind}",
            f"https://{MASTER}:{API}{path}",
        ]  # fmt: skip
        if body is not None:
            words += ["-d", json.dumps(body)]
        done = subprocess.run(self.words(*words), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{method} {path}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def listed(self, plural: str, namespace: str = "default") -> list[Any]:
        """All objects of a kind."""
        group = "/apis/batch/v1" if plural == "jobs" else "/api/v1"
        found: list[Any] = self.ask("GET", f"{group}/namespaces/{namespace}/{plural}")["items"]
        return found

    def on_node(self, number: int, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespaces of a node, outside of any pod."""
        pid = str(first_child(self.boots[number].pid))
        inside = ["nsenter", "--target", pid, "--mount", "--uts", "--pid", "--net", "--", *words]
        return subprocess.run(inside, capture_output=True, text=True, check=False, timeout=60)

    def images(self, number: int) -> str:
        """The images that the containerd of a node has."""
        ctr = ("ctr", "--address", "/run/containerd/containerd.sock", "-n", "k8s.io")
        return self.on_node(number, *ctr, "images", "ls", "-q").stdout

    def stop_kubelet(self, number: int) -> None:
        """Let the kubelet of a node die; its containers live on."""
        top = self.top / _name(number)
        (top / "stopped").touch()
        self.on_node(number, "kill", "-9", (top / "kubelet.pid").read_text().strip())

    def start_kubelet(self, number: int) -> None:
        """Start it again."""
        (self.top / _name(number) / "stopped").unlink()

    def kill(self, number: int) -> None:
        """Let a node die at once, with all that runs on it."""
        self.boots[number].kill()
        self.boots[number].wait()

    def ready(self) -> dict[str, bool]:
        """Whether each node is."""
        return {
            node["metadata"]["name"]: any(
                each["type"] == "Ready" and each["status"] == "True"
                for each in node["status"].get("conditions", [])
            )
            and not node["spec"].get("taints")
            for node in self.ask("GET", "/api/v1/nodes")["items"]
        }

    def await_ready(self, count: int) -> None:
        """Wait until so many nodes are."""
        until = time.monotonic() + _PATIENCE
        while sum(self.ready().values()) < count:
            if time.monotonic() > until:
                logs = [path.read_text()[-2000:] for path in self.top.rglob("kubelet.log")]
                raise RuntimeError(f"the nodes do not come up: {self.ready()}\n{logs}")
            time.sleep(0.2)

    def boot(self, number: int) -> None:
        """Start a node."""
        name = _name(number)
        top = self.top / name
        _configure(self, number, top)
        here = controllers()
        groups = [group(each, self.prefix, name) for each in (*here, "unified")]
        begin = "".join(f"echo $$ >{each}/cgroup.procs\n" for each in groups if each is not None)
        namespaces = "--uts --mount --pid --ipc --cgroup --fork --kill-child --mount-proc"
        begin += (
            f"exec nsenter --net=/run/netns/{self.prefix}{number} "
            f'unshare {namespaces} -- /bin/sh -ec "$NODE"'
        )
        with (top / "boot.log").open("ab") as log:
            self.boots[number] = subprocess.Popen(
                ["/bin/sh", "-ec", begin],
                env={
                    **os.environ, "NAME": name, "TOP": str(top), "NODE": _NODE,
                    "CONTROLLERS": " ".join(here), "PAUSE": str(self.top / "pause.tar"),
                    "TUNED": " ".join(_TUNED), "KUBELET": str(self.place / "kubelet"),
                    "SETTINGS": str(self.settings), "ADDRESS": f"10.97.0.{number}",
                    "LABELS": f"rack=r{number}",
                },
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip


def _name(number: int) -> str:
    return f"kn{number}"


def _configure(found: Kubernetes, number: int, top: Path) -> None:
    """Write what a node's programs read."""
    place = top / "registries" / found.registry
    for each in ("lib", "work", "log", "tuned", "cni", "kubelet", "plugins"):
        (top / each).mkdir(parents=True, exist_ok=True)
    place.mkdir(parents=True, exist_ok=True)
    for setting, value in _TUNED.items():
        (top / "tuned" / Path(setting).name).write_text(f"{value}\n")
    url = f"http://{found.registry}"
    (place / "hosts.toml").write_text(
        f'server = "{url}"\n[host."{url}"]\ncapabilities = ["pull", "resolve"]\n'
    )
    (top / "containerd.toml").write_text(
        _CONTAINERD.format(top=top, pause=PAUSE, plugins=PLUGINS)
    )  # fmt: skip
    bridge = {
        "type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False,
        "ipam": {
            "type": "host-local", "dataDir": str(top / "addresses"),
            "ranges": [[{"subnet": f"10.96.{number}.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
        },
    }  # fmt: skip
    (top / "cni" / "lab.conflist").write_text(
        json.dumps({"cniVersion": "0.4.0", "name": "lab", "plugins": [bridge]})
    )
    (top / "resolv.conf").write_text("")
    (top / "kubelet.json").write_text(json.dumps({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs", "failSwapOn": False, "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0, "hairpinMode": "none", "healthzPort": 0, "serializeImagePulls": False,
        "resolvConf": str(top / "resolv.conf"), "clusterDomain": "cluster.local",
        "clusterDNS": [MASTER], "nodeStatusUpdateFrequency": "2s", "syncFrequency": "5s",
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%",
                         "nodefs.inodesFree": "0%", "memory.available": "1Mi"},
    }))  # fmt: skip


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
    do("ip", "netns", "add", switch)
    do("ip", "-n", switch, "link", "set", "lo", "up")
    do("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
    do("ip", "-n", switch, "addr", "add", f"{MASTER}/24", "dev", "br0")
    do("ip", "-n", switch, "link", "set", "br0", "up")
    do("ip", "-n", switch, "route", "add", "default", "dev", "br0")
    for number in range(1, found.count + 1):
        node, port = f"{found.prefix}{number}", f"p{number}"
        do("ip", "netns", "add", node)
        do(
            "ip", "link", "add", "eth0", "netns", node, "type", "veth",
            "peer", "name", port, "netns", switch,
        )  # fmt: skip
        do("ip", "-n", node, "link", "set", "lo", "up")
        do("ip", "-n", node, "addr", "add", f"10.97.0.{number}/24", "dev", "eth0")
        do("ip", "-n", node, "link", "set", "eth0", "up")
        do("ip", "-n", node, "route", "add", "default", "via", MASTER)
        do("ip", "-n", switch, "link", "set", port, "master", "br0", "up")
        do("ip", "-n", switch, "route", "add", f"10.96.{number}.0/24", "via", f"10.97.0.{number}")
    do(*found.words("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"))


def _control_plane(found: Kubernetes) -> None:
    """Start it, with a registry beside it, and wait until it answers."""
    top = found.top
    tls = servers.make_tls(top / "tls")
    key = top / "accounts.key"
    do("openssl", "genrsa", "-out", str(key), "2048")
    (top / "tokens").write_text(f'{TOKEN},root,1,"system:masters"\n{WITHOUT_RIGHTS},mira,2\n')
    found.settings.write_text(json.dumps(_settings()))
    registry = top / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {top}/registry}}}}"
    registry.write_text(f'version: 0.1\n{storage}\nhttp: {{addr: "{found.registry}"}}\n')
    gates = "--feature-gates=TTLAfterFinished=true"
    _start(found, "docker-registry", "serve", str(registry))
    _start(found, "etcd", "--data-dir", f"{top}/etcd", "--unsafe-no-fsync")
    _start(
        found, "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", gates,
        f"--bind-address={MASTER}", f"--secure-port={API}", f"--advertise-address={MASTER}",
        f"--cert-dir={top}/certificates", f"--token-auth-file={top}/tokens",
        "--authorization-mode=RBAC", "--service-cluster-ip-range=10.95.0.0/24",
        "--service-account-issuer=https://lab", f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}", "--kubelet-preferred-address-types=InternalIP",
        "--default-not-ready-toleration-seconds=2", "--default-unreachable-toleration-seconds=2",
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
    _python(found, "kubeindexes", str(WEBHOOK), str(tls.certificate), str(tls.key), *api)
    found.ask(
        "POST", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        _webhook(tls.ca),
    )  # fmt: skip


def _python(found: Kubernetes, module: str, *words: str) -> None:
    _run(found, module, sys.executable, "-m", f"tests.cluster.{module}", *words)


def _start(found: Kubernetes, program: str, *words: str) -> None:
    path = found.place / program
    _run(found, program, str(path) if path.is_file() else program, *words)


def _run(found: Kubernetes, name: str, *words: str) -> None:
    command = found.words(*words)
    with (found.top / f"{name}.log").open("wb") as log:
        found.started.append(
            subprocess.Popen(
                command, cwd=_SOURCES, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        )


def _await(found: Kubernetes) -> None:
    until = time.monotonic() + _PATIENCE
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
    import base64

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
                "url": f"https://127.0.0.1:{WEBHOOK}/",
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
    """`python -m tests.cluster.kubenodes [N]`: a cluster to play with, until its shell ends."""
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
