"""Nodes of a cluster as network namespaces on one machine, each with a link to one switch."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

# For the first process of a node: a view of its own of the control groups.
OWN_GROUPS = """\
hostname "$NAME"
mount --make-rprivate /
umount -R /sys/fs/cgroup
mount -t tmpfs -o mode=755 cgroups /sys/fs/cgroup
for each in $CONTROLLERS; do
    mkdir /sys/fs/cgroup/$each
    mount -t cgroup -o $each cgroups /sys/fs/cgroup/$each
done
"""


def add_switch(switch: str, address: str) -> None:
    """Make the namespace that all links lead to, with an address on its bridge."""
    do("ip", "netns", "add", switch)
    do("ip", "-n", switch, "link", "set", "lo", "up")
    do("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
    do("ip", "-n", switch, "addr", "add", f"{address}/24", "dev", "br0")
    do("ip", "-n", switch, "link", "set", "br0", "up")


def add_nodes(switch: str, prefix: str, count: int, network: str) -> Iterator[tuple[int, str, str]]:
    """Make namespaces one by one: the number, name and port of each, whose link is up.

    `network` is what comes before the number in the address of a node.
    """
    for number in range(1, count + 1):
        node, port = f"{prefix}{number}", f"p{number}"
        do("ip", "netns", "add", node)
        do(
            "ip", "link", "add", "eth0", "netns", node, "type", "veth",
            "peer", "name", port, "netns", switch,
        )  # fmt: skip
        do("ip", "-n", node, "link", "set", "lo", "up")
        do("ip", "-n", node, "addr", "add", f"{network}.{number}/24", "dev", "eth0")
        do("ip", "-n", node, "link", "set", "eth0", "up")
        do("ip", "-n", switch, "link", "set", port, "master", "br0", "up")
        yield number, node, port


def do(*words: str) -> None:
    """Run a program that must succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
