"""Bazel as the peer: the one of Debian (package bazel-bootstrap), without a network, set fastest.

That Bazel has its C++, Python and generic rules inside, and looks for further rules on the
network; Debian has those it needs in packages of their own, so they are taken from there.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.build.repository import Repository
from bench.build.shape import Target
from bench.build.tool import Built, Done, command

INSTALL = (
    "apt-get install bazel-bootstrap bazel-rules-cc bazel-rules-java bazel-rules-proto"
    " bazel-skylib bazel-platforms"
)

_SHARED = Path("/usr/share/bazel")
_REPOSITORIES = {
    "rules_java": _SHARED / "rules" / "java",
    "rules_proto": _SHARED / "rules" / "proto",
    "bazel_skylib": _SHARED / "tools" / "skylib",
    "platforms": _SHARED / "tools" / "platforms",
}
_RULES_CC = _SHARED / "rules" / "cc"
# No sandbox, no trees of links to run Python programs from, no shared libraries beside the
# archives; the standard of C++ is that of the compiler, as without Bazel.
_FLAGS = (
    "--spawn_strategy=local",
    "--compilation_mode=fastbuild",
    "--features=-supports_dynamic_linker",
    "--cxxopt=-std=gnu++17",
    "--nobuild_runfile_links",
    "--nobuild_runfile_manifests",
    "--enable_runfiles=no",
    "--symlink_prefix=/",
    "--host_javabase=@local_jdk//:jdk",
    "--show_result=0",
)
_RAN = re.compile(r"(\d+) local\b")
_COMPILED = "[action 'Compiling "


def missing() -> str:
    """What of it is not on this machine; "" if nothing is."""
    paths = [*_REPOSITORIES.values(), _RULES_CC]
    absent = [str(path) for path in paths if not path.is_dir()]
    return " ".join(absent if shutil.which("bazel") else ["bazel", *absent])


@dataclass
class Bazel:
    """Builds with a server of its own."""

    repository: Repository
    folder: Path  # for its outputs
    flags: tuple[str, ...] = ()
    name: str = "Bazel"
    _bin: Path | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        rules = shutil.copytree(_RULES_CC, self.folder / "rules_cc")
        for file in ("cc_flags_supplier.bzl", "compiler_flag.bzl"):
            _without_toolchain_function(rules / "cc" / "private" / "rules_impl" / file)
        repositories = {"rules_cc": rules, **_REPOSITORIES}
        lines = [f"common --override_repository={k}={v}" for k, v in repositories.items()]
        lines += [f"build {flag}" for flag in (*_FLAGS, *self.flags)]
        (self.folder / "bazelrc").write_text("\n".join(lines) + "\n")

    def build(self, *, detail: bool = False, memory: bool = False) -> Built:
        words = ["--subcommands"] if detail else []
        done = self._run("build", "--noshow_progress", *words, "//...", memory=memory)
        ran = _RAN.search(done.messages)
        compiled = done.messages.count(_COMPILED) if detail else None
        return Built(done.seconds, int(ran[1]) if ran else 0, compiled, done.peaks)

    def query(self, expression: str, *, memory: bool = False) -> Done:
        return self._run("query", "--noshow_progress", expression, memory=memory)

    def load(self) -> Done:
        return self.query("//...")

    def program(self, target: Target) -> Path:
        if self._bin is None:
            self._bin = Path(self._run("info", "bazel-bin").output.strip())
        return self._bin / target.package / target.name

    def forget(self) -> None:
        self._run("clean")

    def forget_loaded(self) -> None:
        """What it knows of BUILD files is in the server."""
        self.stop()

    def stop(self) -> None:
        self._run("shutdown")

    def start(self) -> None:
        self._run("info", "server_pid")

    def close(self) -> None:
        self._run("clean", "--expunge")

    @property
    def server(self) -> list[int]:
        """The process that stays between commands, if there is one."""
        files = self.folder.glob("out/*/server/server.pid.txt")
        processes = [int(file.read_text()) for file in files]
        return [process for process in processes if Path(f"/proc/{process}").exists()]

    def _run(self, verb: str, *args: str, memory: bool = False) -> Done:
        argv = [
            "bazel",
            "--nosystem_rc",
            "--nohome_rc",
            "--noworkspace_rc",
            f"--bazelrc={self.folder / 'bazelrc'}",
            f"--install_base={_SHARED}",
            "--trust_install_base",
            f"--output_user_root={self.folder / 'out'}",
            verb,
            "--color=no",
            "--curses=no",
            *args,
        ]
        kept = ("PATH", "HOME", "LANG", "TMPDIR", "USER")
        env = {name: os.environ[name] for name in kept if name in os.environ}
        resident = self.server if memory else []
        return command(argv, self.repository.root, env, memory=memory, resident=resident)


def _without_toolchain_function(file: Path) -> None:
    """Debian's Bazel is older than its rules_cc: it lacks a function that these two call."""
    text = file.read_text().replace(', "use_cpp_toolchain"', "")
    kept = (line for line in text.splitlines() if "use_cpp_toolchain" not in line)
    file.write_text("\n".join(kept) + "\n")
