"""Nodes of a Kubernetes on this machine, each with a kubelet and a containerd.

A node is a set of network, UTS, pid, mount, ipc and cgroup namespaces: what kubelets write to
`/run`, `/var/lib` and `/var/log` is its own, and nothing stays of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.apiserver import TOKEN
from tests.cluster.links import OWN_GROUPS
from tests.cluster.slurm import controllers, first_child, group

PLUGINS = Path("/usr/lib/cni")
MASTER = "10.97.0.254"
API, REGISTRY = 6443, 5000
PAUSE = "lab.site/pause:1"
PATIENCE = 120.0  # seconds for the nodes to be there
# What kubelets would set for the whole machine; each node sees that it is so.
_TUNED = {"vm/overcommit_memory": 1, "kernel/panic": 10, "kernel/panic_on_oops": 1}
# The first process of a node; when it ends, the kernel ends all others.
_NODE = (
    OWN_GROUPS
    + """\
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
)
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
        until = time.monotonic() + PATIENCE
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
