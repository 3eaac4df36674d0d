"""`submit` puts what is new into a job, and `exec` takes it from there: also with no registry."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lamina.formats import carried
from tests import servers

from .conftest import Lamina

BUILD = """\
python_binary(name = "hello", srcs = ["hello.py"], deps = [":words"])
python_library(name = "words", srcs = ["words.py"])
"""
HELLO = """\
import os, sys, words
print(words.WORD, *sys.argv[1:], *[name for name in os.environ if "CARRIED" in name])
"""
# Modules that speak to registries, start threads or read packs.
DEAR = {
    "httpx", "ssl", "socket", "email", "http", "tarfile", "zstandard",
    "lamina.store.registry", "lamina.store.transport",
}  # fmt: skip


class Site:
    """Who submits, a node that had the version before, and what travels with a job."""

    def __init__(self, ours: Lamina, node: Lamina, place: str) -> None:
        self._ours, self.node, self._place = ours, node, place
        ours.write({"lamina.toml": self._settings(), "BUILD": BUILD, "hello.py": HELLO})
        self._edit("one")
        done = ours("push", "//:hello", f"{place}/hello", "--version", "v1")
        assert done.returncode == 0, done.stderr
        done = node("pull", f"{place}/hello:v1")
        assert done.returncode == 0, done.stderr
        self._edit("two")
        self.reference = self.text = ""
        self.carry()

    def carry(self) -> None:
        """Let the node have what a job would bring."""
        self.reference, self.text = self._told(self.dry_run())
        self.node.environment["LAMINA_CARRIED"] = self.text

    def submitter(self, *words: str) -> str:
        """What lamina prints where jobs are submitted."""
        done = self._ours(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _settings(self, more: str = "") -> str:
        return f'[cluster.lab]\nlauncher = "slurm"\nregistry = "{self._place}"\n{more}'

    def _edit(self, word: str) -> None:
        self._ours.write({"words.py": f"WORD = '{word}'\n"})

    def dry_run(self, settings: str = "", *words: str) -> str:
        """What would be sent."""
        self._ours.write({"lamina.toml": self._settings(settings)})
        done = self._ours("submit", "//:hello", "--on", "lab", "--dry-run", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _told(self, script: str) -> tuple[str, str]:
        found = re.search(r"lamina exec (\S+) --", script), re.search(r"CARRIED=(\S+)", script)
        assert found[0] is not None
        assert found[1] is not None, script
        return found[0][1], found[1][1]

    def push(self) -> None:
        """Let the registry have the new version too."""
        done = self._ours("push", "//:hello", f"{self._place}/hello")
        assert done.returncode == 0, done.stderr

    def start(
        self, *words: str, switches: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """What a task does on the node."""
        return self.node("exec", *words, self.reference, "--", "you", switches=switches)


@pytest.fixture
def site(lamina: Lamina, tmp_path: Path) -> Iterator[Site]:
    """The registry is gone by now, and has never had the new version."""
    (tmp_path / "node").mkdir()
    with servers.registry(tmp_path / "registry") as registry:
        found = Site(lamina, Lamina(tmp_path / "node"), f"{registry.host}/team")
    yield found


@pytest.fixture
def folder(lamina: Lamina, tmp_path: Path) -> Site:
    """With a folder in place of a registry, that has the new version."""
    (tmp_path / "node").mkdir()
    found = Site(lamina, Lamina(tmp_path / "node"), f"oci:{tmp_path}/packages")
    found.push()
    return found


def test_a_registry_that_is_down_is_not_missed(site: Site) -> None:
    done = site.start()

    assert (done.returncode, done.stdout) == (0, "two you\n"), done.stderr
    assert "1 layer new" in done.stderr
    assert done.stderr.endswith("; it came with the job\n")
    del site.node.environment["LAMINA_CARRIED"]
    assert (site.start().stdout, site.start().stderr) == ("two you\n", "")


def test_without_it_the_registry_is_missed(site: Site) -> None:
    del site.node.environment["LAMINA_CARRIED"]

    assert site.start().returncode == 125


def test_little_is_imported_for_it(site: Site) -> None:
    done = site.start(switches=("-X", "importtime"))

    assert done.stdout == "two you\n"
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "lamina.node.pull" in modules
    assert not DEAR & modules


def test_what_a_node_lacks_is_told_without_the_registry(site: Site) -> None:
    done = site.node("inspect", "--missing", "--json", site.reference)

    assert done.returncode == 0, done.stderr
    assert '"missing": 0' in done.stdout


def test_what_is_damaged_is_asked_for(folder: Site) -> None:
    blobs, _, edit = folder.text.partition(",")
    folder.node.environment["LAMINA_CARRIED"] = f"{blobs[:-9]},{edit}"

    done = folder.start()

    assert (done.returncode, done.stdout) == (0, "two you\n"), done.stderr
    assert "warning: blobs that came with a job are damaged" in done.stderr
    assert "came with the job" not in done.stderr


def test_what_is_on_its_way_is_waited_for(folder: Site, tmp_path: Path) -> None:
    """A job that began before its push was over, on a node that had nothing."""
    hub = tmp_path / "packages"
    hub.rename(tmp_path / "later")
    (tmp_path / "packages/hello").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    folder.node = Lamina(tmp_path / "other")
    folder.node.environment["LAMINA_CARRIED"] = carried.coming(carried.encode([]))

    def come() -> None:
        shutil.rmtree(hub)
        (tmp_path / "later").rename(hub)

    timer = threading.Timer(1.5, come)
    timer.start()

    done = folder.start()

    timer.join()
    assert (done.returncode, done.stdout) == (0, "two you\n"), done.stderr
    assert done.stderr.count("; it is being pushed, and waited for\n") == 1


def test_what_is_not_on_its_way_is_missed_at_once(folder: Site, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "packages")
    (tmp_path / "packages/hello").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    folder.node = Lamina(tmp_path / "other")
    folder.node.environment["LAMINA_CARRIED"] = carried.encode([])
    assert carried.is_coming(folder.text)  # of the job that `--dry-run` prints

    assert folder.start().returncode == 125


def test_a_policy_holds_for_it_too(folder: Site, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[trust.rule]]\npackages = ["*"]\nkeys = ["none.pub"]\n')
    folder.node.environment["LAMINA_POLICY"] = str(policy)

    done = folder.start()

    assert (done.returncode, done.stdout) == (125, "")


def test_signatures_come_with_it(site: Site, tmp_path: Path) -> None:
    """A policy is complied with though the registry is down; another key does not do."""
    for name in ("ours", "other"):
        site.submitter("sign", "--generate-key", str(tmp_path / name))
    name = site.submitter("package", "//:hello").split()[-1]
    site.submitter("sign", name, "--key", str(tmp_path / "ours.key"))
    site.carry()

    for key in ("other", "ours"):
        policy = tmp_path / f"{key}.toml"
        policy.write_text(f'[[trust.rule]]\npackages = ["*"]\nkeys = ["{key}.pub"]\n')
        site.node.environment["LAMINA_POLICY"] = str(policy)
        done = site.start()
        expected = (0, "two you\n") if key == "ours" else (125, "")
        assert (done.returncode, done.stdout) == expected, done.stderr


def test_what_is_sent_is_as_the_cluster_says(folder: Site) -> None:
    assert "CARRIED" not in folder.dry_run('transfer = "pull"\n')
    assert "CARRIED" not in folder.dry_run('transfer = "broadcast"\n')
    assert folder.dry_run().count("LAMINA_CARRIED=") == 1
    assert "unset LAMINA_CARRIED\nset -e\nsome line\nset +e\nexport" in folder.dry_run(
        "", "--setup", "some line"
    )
