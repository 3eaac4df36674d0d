"""Signed packages: pushed, pulled by a machine with a policy, and run there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

Lamina = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Node:
    """Another machine: a store of its own, a policy, no workspace."""

    lamina: Lamina
    folder: Path

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        variables = {
            "LAMINA_STORE": str(self.folder / "store"),
            "LAMINA_POLICY": str(self.folder / "policy.toml"),
        }
        return self.lamina(self.folder, *words, environment=variables)

    def trusts(self, packages: str, key: str, *more: str) -> None:
        """Let a key sign packages."""
        lines = ("[[trust.rule]]", f'packages = ["{packages}"]', f'keys = ["{key}"]', *more)
        (self.folder / "policy.toml").write_text("\n".join(lines))


@pytest.fixture
def node(lamina: Lamina, tmp_path: Path) -> Node:
    (tmp_path / "node").mkdir()
    return Node(lamina, tmp_path / "node")


@pytest.fixture
def article(lamina: Lamina, copy_of: Callable[..., Path], node: Node) -> Path:
    """The example, packaged and pushed; two pairs of keys, of which the node has public halves."""
    root = copy_of("article")
    for name in ("release", "other"):
        made = lamina(root, "sign", "--generate-key", name)
        assert made.returncode == 0, made.stderr
        (node.folder / f"{name}.pub").write_bytes((root / f"{name}.pub").read_bytes())
    for words in (("package", "//:A"), ("push", "A", f"oci:{node.folder}/hub:v1")):
        done = lamina(root, *words)
        assert done.returncode == 0, done.stderr
    node.trusts("*", "release.pub")
    return root


def _sign_and_push(lamina: Lamina, root: Path, node: Node, key: str) -> None:
    for words in (("sign", "A", "--key", key), ("push", "A", f"oci:{node.folder}/hub:v1")):
        done = lamina(root, *words)
        assert done.returncode == 0, done.stderr


def test_a_node_refuses_what_is_not_signed_and_runs_what_is(
    lamina: Lamina, article: Path, node: Node
) -> None:
    unsigned = node("exec", "oci:hub:v1")
    _sign_and_push(lamina, article, node, "release.key")
    signed = node("exec", "oci:hub:v1")
    offline = node("exec", "A")  # by its name, with the signature that is here now

    assert (unsigned.returncode, unsigned.stdout) == (125, "")
    assert f"has no good signature of a key that `{node.folder}/policy.toml:1`" in unsigned.stderr
    assert "it has no signature" in unsigned.stderr
    assert f"{node.folder}/release.pub" in unsigned.stderr
    assert "hint: `lamina sign A:" in unsigned.stderr
    assert (signed.returncode, offline.returncode) == (0, 0), signed.stderr + offline.stderr
    assert signed.stdout == offline.stdout == lamina(article, "run", "//:A").stdout != ""


def test_mount_refuses_too_and_mounts_nothing(article: Path, node: Node) -> None:
    (node.folder / "here").mkdir()

    refused = node("mount", "oci:hub:v1", "here")

    assert (refused.returncode, refused.stdout) == (4, "")
    assert "it has no signature" in refused.stderr
    assert list((node.folder / "here").iterdir()) == []


def test_a_key_that_may_not_sign_it_does_not_do(lamina: Lamina, article: Path, node: Node) -> None:
    _sign_and_push(lamina, article, node, "other.key")

    refused = node("exec", "oci:hub:v1")
    node.trusts("*", "release.pub", "required = false")
    told = node("exec", "oci:hub:v1")

    assert refused.returncode == 125
    assert "none of the keys made it" in refused.stderr
    assert told.returncode == 0
    assert "warning: `A:" in told.stderr


def test_pull_brings_signatures_and_verify_tells_of_them(
    lamina: Lamina, article: Path, node: Node
) -> None:
    _sign_and_push(lamina, article, node, "release.key")

    there = node("verify", "oci:hub:v1", "--json")
    pulled = node("pull", "oci:hub:v1")
    here = node("verify", "A", "--json")
    by_other = node("verify", "A", "--key", "other.pub")

    assert pulled.returncode == 0, pulled.stderr
    assert there.returncode == here.returncode == 0, there.stderr + here.stderr
    found = json.loads(here.stdout)
    assert found == json.loads(there.stdout)
    (signature,) = found["signatures"]
    key = lamina(article, "verify", "A", "--key", "release.pub", "--json")
    assert json.loads(key.stdout)["signatures"][0]["key"] == signature["key"]
    assert (signature["target"], signature["builder"]) == ("//:A", "urn:lamina:cli")
    assert by_other.returncode == 4
    assert "has no good signature of a key" in by_other.stderr


def test_a_package_in_a_registry_is_signed_and_copied_with_its_signature(
    lamina: Lamina, article: Path, node: Node
) -> None:
    signed = lamina(article, "sign", f"oci:{node.folder}/hub:v1", "--key", "release.key")
    copied = node("copy", "oci:hub:v1", "oci:mirror:v1")
    run = node("exec", "oci:mirror:v1")

    assert signed.returncode == copied.returncode == 0, signed.stderr + copied.stderr
    assert run.returncode == 0, run.stderr


def test_a_workspace_cannot_allow_what_the_machine_forbids(
    lamina: Lamina, article: Path, node: Node
) -> None:
    (node.folder / "lamina.toml").write_text("[trust]\nrequired = false\n")

    refused = node("exec", "oci:hub:v1")

    assert refused.returncode == 125
    assert "it has no signature" in refused.stderr


def test_a_workspace_has_a_policy_of_its_own(lamina: Lamina, article: Path) -> None:
    before = lamina(article, "exec", "A")
    with (article / "lamina.toml").open("a") as file:
        file.write('\n[[trust.rule]]\npackages = ["A"]\nkeys = ["release.pub"]\n')

    refused = lamina(article, "exec", "A")
    lamina(article, "sign", "A", "--key", "release.key")
    after = lamina(article, "exec", "A")
    built = lamina(article, "run", "//:A")  # what is built here needs no signature

    codes = [each.returncode for each in (before, refused, after, built)]
    assert codes == [0, 125, 0, 0], refused.stderr + after.stderr
    assert f"{article}/lamina.toml:" in refused.stderr


def test_a_policy_that_cannot_be_read_stops_everything(article: Path, node: Node) -> None:
    (node.folder / "policy.toml").write_text("[trust]\nrequired = \n")
    malformed = node("exec", "oci:hub:v1")
    (node.folder / "policy.toml").unlink()
    missing = node("exec", "oci:hub:v1")

    assert malformed.returncode == missing.returncode == 125
    assert f"{node.folder}/policy.toml:2:12: syntax error" in malformed.stderr
    assert "there is no file" in missing.stderr
    assert "LAMINA_POLICY" in missing.stderr


def test_without_a_policy_exec_imports_nothing_for_one(
    lamina: Lamina, article: Path, tmp_path: Path
) -> None:
    store = str(tmp_path / "store")
    variables = {"LAMINA_STORE": store, "PYTHONPROFILEIMPORTTIME": "1"}

    done = lamina(tmp_path, "exec", "A", environment=variables)

    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "lamina.store.trust.places" in imported
    dear = {"tomllib", "cryptography", "lamina.node.admission", "httpx"}
    assert dear.isdisjoint(imported)
    assert {name for name in imported if name.startswith("lamina.store.trust.")} == {
        "lamina.store.trust.places"
    }
