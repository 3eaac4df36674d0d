"""What `lamina` can do, in groups, as its help tells it; no command is loaded for that."""

from __future__ import annotations

GROUPS = {
    "build and run": {
        "init": "make this folder the root of a workspace",
        "build": "build targets",
        "test": "build and run tests",
        "run": "build a target, mount its layers and run it",
        "clean": "remove outputs and what is remembered of this workspace",
    },
    "look at targets and builds": {
        "targets": "list targets",
        "query": "ask how targets and files depend on each other",
        "graph": "draw how targets depend on each other",
        "affected": "list targets whose result a change can touch",
        "why": "tell why the actions of a target ran",
        "log": "tell of the last builds",
        "lock": "resolve requirements of Python code to a lock file",
    },
    "make and look at packages": {
        "package": "build a target, make its layers and list them",
        "layers": "show how a package is cut into layers",
        "inspect": "show what a package consists of",
        "diff": "tell what differs between two packages, and what has to be shipped",
        "sbom": "tell which code of others is in a package, as SPDX or CycloneDX",
        "mount": "mount a target or package to look around in it",
        "umount": "end what `lamina mount` began",
    },
    "bring packages to registries and machines": {
        "push": "send a package to a registry",
        "pull": "bring a package from a registry to this machine",
        "copy": "copy a package or an image from one repository to another",
        "tags": "list the tags of a repository",
        "login": "log in at a registry",
        "logout": "forget the login at a registry",
        "sign": "sign a package, or make a pair of keys",
        "verify": "tell who signed a package, and from what it was made",
    },
    "run packages on this machine": {
        "exec": "run a package of the store or a registry, without a workspace",
        "ps": "list the containers and programs that run",
        "enter": "start a shell in a container that runs",
        "stats": "tell what containers use of the machine",
    },
    "run jobs on a cluster": {
        "submit": "build a target, push what changed, and run it as a job of a cluster",
        "jobs": "list jobs",
        "status": "tell what became of a job",
        "logs": "show what the tasks of a job print",
        "cancel": "end a job",
        "wait": "wait for the end of a job",
        "describe": "tell all that is known of a job",
        "timeline": "draw how long each step of a job took, on every node",
        "nodes": "list the machines of a cluster, and what each lacks of a package",
        "prefetch": "let the nodes of a cluster have a package before a job needs it",
    },
    "this machine": {
        "doctor": "tell what this machine has and can do",
        "cache": "tell what the store of this machine holds, and keep it within bounds",
        "server": "keep a process from which commands start faster",
        "completion": "print the completion script of a shell",
    },
}
COMMANDS = {name: summary for group in GROUPS.values() for name, summary in group.items()}
