"""A repository in a folder: what others may have done to it, and many at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import HostError, IntegrityError
from lamina.core.reference import parse
from lamina.formats import oci
from lamina.store.layout import LayoutRepository
from lamina.store.local import LocalStore
from lamina.store.repository import Manifest, NotThere

DATA = b"some blob" * 1000
BLOB = Digest.of(DATA)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "layout"


@pytest.fixture
def repository(folder: Path) -> LayoutRepository:
    return LayoutRepository(parse(f"oci:{folder}"))


def manifest(mark: str = "") -> Manifest:
    document = {"schemaVersion": 2, "layers": [], "annotations": {"mark": mark}}
    return Manifest(json.dumps(document).encode(), oci.MANIFEST)


def blob(folder: Path, digest: Digest) -> Path:
    return folder / "blobs/sha256" / digest.hash


def test_a_file_of_the_store_gets_a_further_name(
    repository: LayoutRepository, folder: Path, store: LocalStore
) -> None:
    store.write(DATA)
    repository.push(BLOB, store.path(BLOB))

    assert blob(folder, BLOB).samefile(store.path(BLOB))
    assert blob(folder, BLOB).stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("data", [DATA[:-1] + b"!", DATA + b"!", DATA[:-1], b""])
def test_a_blob_that_somebody_changed_is_not_taken(
    repository: LayoutRepository, folder: Path, store: LocalStore, data: bytes
) -> None:
    repository.push(BLOB, DATA)
    blob(folder, BLOB).unlink()
    blob(folder, BLOB).write_bytes(data)

    with pytest.raises(IntegrityError):
        repository.read(BLOB)
    with store.incoming() as incoming, pytest.raises(IntegrityError):
        repository.fetch(BLOB, incoming)
    assert store.missing([BLOB]) == {BLOB}


def test_a_blob_that_was_cut_short_is_pushed_again(
    repository: LayoutRepository, folder: Path
) -> None:
    repository.push(BLOB, DATA)
    blob(folder, BLOB).unlink()
    blob(folder, BLOB).write_bytes(DATA[:100])

    assert repository.missing([BLOB]) == {BLOB}
    repository.push(BLOB, DATA)
    assert repository.read(BLOB) == DATA


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"manifests": 7}', '{"manifests": [7]}', '{"manifests": [{}]}',
        '{"manifests": [{"digest": "sha256:../../../etc/passwd", "size": 1}]}',
        '{"manifests": [{"digest": "md5:0", "size": 1}]}', "[" * 100_000,
    ],
)  # fmt: skip
def test_a_malformed_index_is_told(repository: LayoutRepository, folder: Path, text: str) -> None:
    repository.put_manifest(manifest(), "v1")
    (folder / "index.json").write_text(text)

    with pytest.raises(IntegrityError):
        repository.manifest("latest")


@pytest.mark.parametrize("wanted", ["sha256:../../index.json", "sha256:", "../x"])
def test_no_name_leads_out_of_the_folder(
    repository: LayoutRepository, folder: Path, wanted: str
) -> None:
    repository.put_manifest(manifest(), "v1")
    (folder / "secret").write_text("secret")

    with pytest.raises((NotThere, IntegrityError)):
        repository.manifest(wanted)


def test_the_only_manifest_needs_no_tag(repository: LayoutRepository) -> None:
    repository.put_manifest(manifest("a"), "v1")
    assert repository.manifest("latest") == manifest("a")

    repository.put_manifest(manifest("b"), "v2")
    with pytest.raises(NotThere):
        repository.manifest("latest")


def test_where_no_folder_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(HostError, match="file"):
        LayoutRepository(parse(f"oci:{tmp_path}/file/layout")).push(BLOB, DATA)


_PUT = """
import sys
from lamina.core.reference import parse
from lamina.store.layout import LayoutRepository
from tests.unit.store.test_layout import manifest
repository = LayoutRepository(parse(f"oci:{sys.argv[1]}"))
for number in range(20):
    repository.put_manifest(manifest(f"{sys.argv[2]}-{number}"), f"t{sys.argv[2]}-{number}")
    repository.put_manifest(manifest(sys.argv[2]), "same")
repository.close()
"""


def test_processes_put_tags_at_once_and_none_is_lost(
    repository: LayoutRepository, folder: Path
) -> None:
    root = Path(__file__).parents[3]
    started = [
        subprocess.Popen([sys.executable, "-c", _PUT, str(folder), str(number)], cwd=root)
        for number in range(4)
    ]
    assert [each.wait(120) for each in started] == [0] * 4

    tags = [f"t{number}-{each}" for number in range(4) for each in range(20)]
    assert repository.tags() == sorted([*tags, "same"])
    for tag in tags:
        assert repository.manifest(tag) == manifest(tag[1:])
    assert repository.manifest("same") in [manifest(str(number)) for number in range(4)]
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lamina.lock", ".lamina.tmp.lock", "blobs", "index.json", "oci-layout",
    ]  # fmt: skip


_KILLED = """
import sys
from lamina.core.digest import Digest
from lamina.core.reference import parse
from lamina.linux import filesystem
from lamina.store.layout import LayoutRepository
def write_new(path, data, *_, **__):
    open(path, "wb").write(data[:5])
    print(path, flush=True)
    sys.stdin.read()
filesystem.write_new = write_new
LayoutRepository(parse(f"oci:{sys.argv[1]}")).push(Digest.of(b"some data"), b"some data")
"""


def test_what_a_killed_push_left_goes_with_the_next_one(
    repository: LayoutRepository, folder: Path
) -> None:
    root = Path(__file__).parents[3]
    repository.push(BLOB, DATA)
    repository.close()
    child = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(folder)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        left = Path(child.stdout.readline().strip())

        other = Digest.of(b"while it lives")
        repository.push(other, b"while it lives")
        assert left.read_bytes() == b"some "
        child.kill()
    repository.close()
    repository.push(Digest.of(b"more"), b"more")
    repository.close()

    assert not left.exists()
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lamina.tmp.lock", "blobs", "oci-layout",
    ]  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_folder_that_may_only_be_read_is_told(repository: LayoutRepository, folder: Path) -> None:
    repository.put_manifest(manifest(), "v1")
    repository.close()
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        with pytest.raises(HostError, match="Read-only"):
            repository.push(BLOB, DATA)
        assert repository.manifest("v1") == manifest()
    finally:
        subprocess.run(["umount", str(folder)], check=True)
