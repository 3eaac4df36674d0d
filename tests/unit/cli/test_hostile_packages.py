"""Packages that lie: `exec` and `mount` say what is wrong, and leave store and mounts alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lamina.cli.main import main
from lamina.core.digest import Digest
from lamina.core.manifest import Layer, Package
from lamina.formats import oci, xar
from lamina.linux import mountinfo
from lamina.store.local import LocalStore

Documents = tuple[Any, Any]
Change = Callable[[Any, Any], object]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalStore]:
    monkeypatch.setenv("LAMINA_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    opened = LocalStore(tmp_path / "store")
    yield opened
    opened.close()


def package(store: LocalStore) -> Package:
    """A package of one layer that is none."""
    blob = store.write(xar.encode(xar.Header("ab" * 32, "run")) + b"no image")
    return Package("a", "1", "//:a", (Layer("//:a", blob, blob),), entry_point=("a",))


def kept(manifest: object, config: object, store: LocalStore) -> str:
    """The reference of a package whose two documents are what is given."""
    described = Digest.of(_bytes(config))
    store.write(_bytes(config))
    if isinstance(manifest, dict) and isinstance(manifest.get("config"), dict):
        manifest["config"].setdefault("size", described.size)
        if manifest["config"].get("digest") == "@config":
            manifest["config"] |= {"digest": described.oci, "size": described.size}
    return f"a@sha256:{store.write(_bytes(manifest)).hash}"


def _bytes(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def documents(store: LocalStore) -> Documents:
    found = package(store)
    manifest = json.loads(oci.encode_manifest(found))
    manifest["config"]["digest"] = "@config"
    return manifest, json.loads(oci.encode_config(found))


def state(store: LocalStore) -> dict[str, bytes]:
    """All that the store holds, but for what a process has while it runs, and notes of looking."""
    notes = ("verified", "leases", "used", "gc.lock")
    left_out = (store.scratch, *(store.folder / name for name in notes))
    return {
        str(path): path.read_bytes()
        for path in store.folder.rglob("*")
        if path.is_file() and path.name != "lock" and not any(map(path.is_relative_to, left_out))
    }


def mounted(store: LocalStore) -> set[Path]:
    """Mount points of this test; others come and go meanwhile."""
    here = store.folder.parent
    return {path for path in map(Path, mountinfo.mount_points()) if path.is_relative_to(here)}


def refused(reference: str, store: LocalStore, capsys: pytest.CaptureFixture[str]) -> str:
    """What both commands say of a package, after which all is as it was."""
    words = []
    for command, codes in ("exec", (125,)), ("mount", (3, 4)):
        before, mounts = state(store), mounted(store)
        code = main([command, reference])
        out, err = capsys.readouterr()
        assert (code in codes, out) == (True, ""), err
        assert err.startswith("error: ")
        assert "Traceback" not in err
        assert all(line.isprintable() for line in err.splitlines())
        assert state(store) == before
        assert mounted(store) == mounts
        words.append(err)
    assert words[0] == words[1]
    return words[0]


def both(change: Change) -> Change:
    """The same done to each layer's part of both documents."""

    def apply(manifest: Any, config: Any) -> None:
        change(manifest["layers"][0], config["layers"][0])

    return apply


LIES: dict[str, tuple[Change, str]] = {
    "an unknown form of a layer": (
        both(lambda layer, detail: layer.update(mediaType="application/vnd.lamina.layer.v9")),
        "hint: use a newer lamina",
    ),
    "a newer manifest": (lambda m, c: m.update(schemaVersion=3), "hint: use a newer lamina"),
    "an index": (
        lambda m, c: m.update(mediaType="application/vnd.oci.image.index.v1+json"),
        "hint: use a newer lamina",
    ),
    "a newer config": (lambda m, c: m["config"].update(mediaType="v2"), "hint: use a newer"),
    "an image of a container": (lambda m, c: m.update(artifactType="x"), "not a lamina package"),
    "a config that is not there": (
        lambda m, c: m["config"].update(digest=f"sha256:{'0' * 64}"),
        "is not in the store",
    ),
    "a layer that is not there": (
        both(lambda layer, detail: layer.update(digest=f"sha256:{'0' * 64}")),
        "is not in the store",
    ),
    "a size that lies": (both(lambda layer, _: layer.update(size=1)), "is not in the store"),
    "5 GiB that are not there": (
        both(lambda layer, _: layer.update(size=5 << 30)),
        "is not in the store",
    ),
    "a size below 0": (both(lambda layer, _: layer.update(size=-1)), "a size is wanted"),
    "a size of 2^70": (both(lambda layer, _: layer.update(size=1 << 70)), "a size is wanted"),
    "a digest that is a path": (
        both(lambda layer, _: layer.update(digest="sha256:../../../etc/passwd")),
        "not a sha256 digest",
    ),
    "another kind of digest": (
        both(lambda layer, _: layer.update(digest=f"sha512:{'0' * 128}")),
        "not a sha256 digest",
    ),
    "20,000 layers": (
        lambda m, c: (m.update(layers=m["layers"] * 20_000), c.update(layers=c["layers"] * 20_000)),
        "not a squashfs image: no superblock",
    ),
    "more layers in one document": (lambda m, c: m.update(layers=m["layers"] * 2), "2 layers"),
    "no layers": (lambda m, c: (m.update(layers=[]), c.update(layers=[])), "without layers"),
    "a name that leads out": (lambda m, c: c.update(name="../x"), "not a path inside a tree"),
    "a name with an escape": (lambda m, c: c.update(name="\x1b[2J"), "control character"),
    "a label with a line end": (lambda m, c: c.update(label="a\nerror: b"), "control character"),
    "a version that is a path": (lambda m, c: c.update(version="../x"), "a version is wanted"),
    "an entry point outside": (
        lambda m, c: c.update(entryPoint=["../../bin/sh"]),
        "not a path inside a tree",
    ),
    "an absolute entry point": (
        lambda m, c: c.update(entryPoint=["/bin/sh"]),
        "not a path inside a tree",
    ),
    "a variable without a name": (lambda m, c: c.update(environment={"": "x"}), "variable"),
    "a variable with a `=`": (lambda m, c: c.update(environment={"A=B": "x"}), "variable"),
    "a NUL in a variable": (lambda m, c: c.update(environment={"A": "\0"}), "a NUL in a text"),
    "a base of more layers than there are": (
        lambda m, c: c.update(baseLayers=2, image={}),
        "2 layers of a base image among 1",
    ),
    "a number that is none": (lambda m, c: c.update(dirty=float("nan")), "no number in JSON"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_package_that_lies_is_refused(
    name: str, store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, config = documents(store)
    change, words = LIES[name]
    change(manifest, config)

    assert words in refused(kept(manifest, config, store), store, capsys)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000,
        b'{"schemaVersion": NaN}', b'{"a": 1, "a": 2}', b'"\\ud800"', b" " * (17 << 20),
    ],
    ids=lambda data: f"{data[:8]!r}",
)  # fmt: skip
def test_documents_that_are_none_are_refused(
    data: bytes, store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, config = documents(store)

    assert "not a package manifest" in refused(kept(data, config, store), store, capsys)
    assert "not a package config" in refused(kept(manifest, data, store), store, capsys)


def test_a_package_whose_config_is_its_own_manifest_is_refused(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, _ = documents(store)
    manifest["config"]["digest"] = f"sha256:{'1' * 64}"
    first = kept(manifest, b"", store)
    manifest["config"]["digest"] = first.partition("@")[2]  # no document can name itself
    manifest["config"]["size"] = len(_bytes(manifest))

    refused(kept(manifest, b"", store), store, capsys)


@pytest.mark.parametrize("command", ["exec", "mount"])
def test_a_layer_that_is_no_image_is_refused(command: str, store: LocalStore) -> None:
    reference = kept(*documents(store), store)
    before, mounts = state(store), mounted(store)
    words = [sys.executable, "-m", "lamina.cli", command, reference]

    # `exec` has entered a mount namespace by then, which this process should not.
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) in ((125, ""), (4, ""))
    assert "no superblock" in done.stderr
    assert "Traceback" not in done.stderr
    assert (state(store), mounted(store)) == (before, mounts)


def test_a_layer_that_was_damaged_is_not_mounted(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, config = documents(store)
    reference = kept(manifest, config, store)
    blob = store.path(package(store).layers[0].blob)
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(data)
    mounts = mounted(store)

    assert main(["exec", reference]) == 125
    assert "does not match its name" in capsys.readouterr().err
    assert mounted(store) == mounts
    assert not blob.exists()  # missing from now on, so that it is made or fetched anew
    assert "is not in the store" in refused(reference, store, capsys)
