"""`push`, `pull`, `copy`, `inspect`, `cache`, and `exec` of what lies elsewhere."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lamina.cli import repositories
from lamina.formats import oci
from lamina.store import packages
from lamina.store.local import LocalStore
from tests import servers

from .conftest import Lamina

HELLO = "python_binary(name = 'hello', srcs = ['hello.py'], deps = [':words'])\n"
WORDS = "python_library(name = 'words', srcs = ['words.py'])\n"


@pytest.fixture
def made(lamina: Lamina) -> Lamina:
    """A workspace with a package `hello:v1`."""
    lamina.write({"BUILD": HELLO + WORDS, "words.py": "WORD = 'hello'\n"})
    lamina.write({"hello.py": "import sys\nimport words\nprint(words.WORD, *sys.argv[1:])\n"})
    done = lamina("package", "//:hello", "--version", "v1")
    assert done.returncode == 0, done.stderr
    return lamina


@pytest.fixture
def node(made: Lamina, tmp_path: Path) -> Iterator[Lamina]:
    """The same command line with the store of another machine."""
    (tmp_path / "node").mkdir()
    other = Lamina(tmp_path / "node")
    yield other


def told(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(params=["registry", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where packages go: a repository on a registry, or a folder."""
    if request.param == "folder":
        yield f"oci:{tmp_path}/repository"
        return
    with servers.registry(tmp_path / "registry") as found:
        yield f"{found.host}/team/hello"


def test_a_package_runs_on_another_machine(made: Lamina, node: Lamina, place: str) -> None:
    pushed = made("push", "hello:v1", place)
    assert pushed.returncode == 0, pushed.stderr
    assert "pushed 2 of 2 layers" in pushed.stderr
    reference, _, digest = pushed.stdout.strip().rpartition("@")
    assert reference == f"{place}:v1"

    pulled = node("pull", f"{place}:v1")
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout == "hello:v1\n"
    for wanted in ("hello:v1", f"{place}:v1", f"{place}@{digest}"):
        ran = node("exec", wanted, "--", "you")
        assert (ran.returncode, ran.stdout) == (0, "hello you\n"), ran.stderr


def test_what_is_not_here_is_pulled_and_run(made: Lamina, node: Lamina, place: str) -> None:
    digest = told(made("push", "//:hello", place, "--version", "v2", "--json"))["digest"]

    ran = node("exec", f"{place}@{digest}", "--", "a")

    assert ran.stdout == "hello a\n"
    assert "2 layers new" in ran.stderr
    again = node("exec", f"{place}@{digest}")
    assert (again.stdout, again.stderr) == ("hello\n", "")


def test_an_edit_moves_one_layer(made: Lamina, node: Lamina, place: str) -> None:
    told(made("push", "//:hello", place, "--version", "v1", "--json"))
    assert told(node("pull", f"{place}:v1", "--json"))["layers"] == 2
    made.write({"words.py": "WORD = 'good morning'\n"})

    pushed = told(made("push", "//:hello", f"{place}:v2", "--version", "v2", "--json"))
    pulled = told(node("pull", f"{place}:v2", "--json"))

    assert (pushed["layers"], pulled["layers"]) == (1, 1)
    assert pushed["bytes"] < 20_000
    assert node("exec", "hello:v2").stdout == "good morning\n"
    assert node("exec", "hello:v1").stdout == "hello\n"


def test_a_tag_is_asked_for_when_it_must_be(made: Lamina, node: Lamina, place: str) -> None:
    told(made("push", "hello:v1", f"{place}:main", "--json"))
    assert node("exec", f"{place}:main").stdout == "hello\n"
    made.write({"words.py": "WORD = 'new'\n"})
    told(made("push", "//:hello", f"{place}:main", "--json"))

    assert node("exec", f"{place}:main").stdout == "hello\n"
    assert node("exec", "--pull", "always", f"{place}:main").stdout == "new\n"
    assert node("exec", f"{place}:main").stdout == "new\n"
    refused = node("exec", "--pull", "never", f"{place}:other")
    assert refused.returncode == 125
    assert "is not in the store" in refused.stderr


def test_what_is_here_runs_without_a_registry(made: Lamina, node: Lamina, tmp_path: Path) -> None:
    with servers.registry(tmp_path / "registry") as found:
        place = f"{found.host}/hello"
        digest = told(made("push", "hello:v1", place, "--json"))["digest"]
        assert node("exec", f"{place}:v1").returncode == 0

    assert node("exec", f"{place}:v1").stdout == "hello\n"
    assert node("exec", f"{place}@{digest}").stdout == "hello\n"


def test_copies_are_the_same(made: Lamina, node: Lamina, place: str, tmp_path: Path) -> None:
    digest = told(made("push", "hello:v1", place, "--json"))["digest"]
    target = f"oci:{tmp_path}/copy"

    copied = told(node("copy", f"{place}:v1", target, "--json"))

    assert copied["reference"] == f"{target}:v1@{digest}"
    assert told(node("copy", f"{place}:v1", target, "--json"))["blobs"] == 0
    assert node("exec", f"{target}:v1").stdout == "hello\n"
    assert told(node("inspect", f"{target}:v1", "--json"))["digest"] == digest


def test_any_image_is_copied(made: Lamina, place: str, tmp_path: Path) -> None:
    done = made("package", "//:hello", "--version", "v1", "--format", "oci", "-o", str(tmp_path))
    assert done.returncode == 0, done.stderr
    image = done.stdout.strip()

    copied = made("copy", f"oci:{image}:v1", f"{place}:image")

    assert copied.returncode == 0, copied.stderr
    shown = told(made("inspect", f"{place}:image", "--json"))
    assert len(shown["blobs"]) == 3
    refused = made("pull", f"{place}:image")
    assert refused.returncode == 3
    assert "is no lamina package" in refused.stderr


def test_what_a_package_consists_of(made: Lamina, place: str) -> None:
    digest = told(made("push", "hello:v1", place, "--json"))["digest"]

    for wanted in ("hello:v1", f"{place}:v1", f"{place}@{digest}"):
        found = told(made("inspect", wanted, "--json"))
        assert (found["name"], found["version"], found["digest"]) == ("hello", "v1", digest)
        assert [each["labels"] for each in found["layers"]] == [["//:words"], ["//:hello"]]
    assert made("inspect", f"{place}:v1").stdout.startswith("name     hello\n")
    assert json.loads(made("inspect", f"{place}:v1", "--raw").stdout)["schemaVersion"] == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("push", "hello:v1", "team/hello"), 3, "`team/hello` names no registry"),
        (("push", "hello:v9", "oci:x"), 3, "there is no package `hello:v9`"),
        (("push", "hello:v1", "oci:x@sha256:" + "a" * 64), 3, "names a digest"),
        (("pull", "oci:nothing"), 2, "there is no OCI image layout in"),
        (("pull", "localhost:1/a:v1", "--ca", "nothing"), 3, "there is no file `nothing`"),
        (("exec", "oci:nothing:v1"), 125, "there is no OCI image layout in"),
        (("copy", "oci:nothing", "oci:x"), 2, "there is no OCI image layout in"),
        (("cache", "gc"), 3, "nothing says how much may stay"),
        (("cache", "gc", "--max-size", "x"), 3, "`x` is no size"),
        (("cache", "pin"), 3, "`lamina cache pin` needs a package"),
        (("cache", "unpin", "hello:v1"), 3, "`hello:v1` is not pinned"),
        (("cache", "du", "hello:v1"), 3, "`lamina cache du` takes no `hello:v1`"),
    ],
)
def test_mistakes_are_told(made: Lamina, words: tuple[str, ...], code: int, message: str) -> None:
    done = made(*words)

    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_what_was_made_is_known_though_its_push_has_failed(made: Lamina, tmp_path: Path) -> None:
    assert made("package", "//:hello").returncode == 0
    made.write({"words.py": "WORD = 'edited'\n"})
    (tmp_path / "file").write_text("no folder")

    done = made("push", "//:hello", f"oci:{tmp_path}/file/hub")

    assert done.returncode != 0
    again = made("package", "//:hello")
    assert "0 layers made" in again.stderr
    assert made("exec", "hello").stdout == "edited\n"


def test_what_is_collected_between_finding_and_starting_comes_again(
    made: Lamina, tmp_path: Path
) -> None:
    text = f"oci:{tmp_path}/hub"
    assert made("push", "hello:v1", text).returncode == 0
    args = argparse.Namespace(pull="missing", plain_http=False, ca=None, quiet=True, json=False)
    store = LocalStore(tmp_path / "elsewhere")
    digest = repositories.find(f"{text}:v1", store, args)
    below = [child for kind, child in oci.children(store.read(digest)) if kind == oci.CONFIG]
    for document in (digest, *below):
        store.path(document).unlink()

        found = repositories.read(f"{text}:v1", digest, store, args)

        assert found.name == "hello"
        assert packages.is_whole(digest, store)
    store.close()


def test_the_cache_keeps_what_is_pinned(made: Lamina) -> None:
    assert made("cache", "pin", "hello:v1").returncode == 0
    found = told(made("cache", "ls", "--json"))["packages"]
    [kept] = [each for each in found if each["version"] == "v1"]
    assert (kept["name"], kept["layers_here"], kept["pinned"]) == ("hello", 2, True)

    swept = told(made("cache", "gc", "--max-size", "0", "--json"))
    assert swept["excess"] > 0
    assert made("exec", "hello:v1").stdout == "hello\n"

    assert made("cache", "unpin", "hello:v1").returncode == 0
    assert told(made("cache", "gc", "--max-size", "0", "--json"))["excess"] == 0
    assert made("exec", "hello:v1").returncode == 125
    assert made("run", "//:hello").stdout == "hello\n"  # it is made again


def test_what_runs_is_not_removed(made: Lamina) -> None:
    made.write({"hello.py": "import time\nprint('started', flush=True)\ntime.sleep(60)\n"})
    assert made("package", "//:hello", "--version", "slow").returncode == 0
    program = made.start("exec", "hello:slow")
    assert program.stdout is not None
    assert program.stdout.readline() == "started\n"

    told(made("cache", "gc", "--max-size", "0", "--json"))
    here = {
        each["version"]: each["layers_here"]
        for each in told(made("cache", "ls", "--json"))["packages"]
    }
    program.kill()
    program.communicate()

    assert here["slow"] == 2
    told(made("cache", "gc", "--max-size", "0", "--json"))
    assert told(made("cache", "ls", "--json"))["packages"][0]["layers_here"] == 0


def test_what_was_started_by_run_is_not_removed(made: Lamina) -> None:
    made.write({"hello.py": "import time\nprint('started', flush=True)\ntime.sleep(60)\n"})
    program = made.start("run", "-q", "//:hello")
    assert program.stdout is not None
    assert program.stdout.readline() == "started\n"

    told(made("cache", "gc", "--max-size", "0", "--json"))
    here = {each["layers_here"] for each in told(made("cache", "ls", "--json"))["packages"]}
    program.kill()
    program.communicate()

    assert 2 in here


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts what all can see")
def test_what_is_mounted_is_not_removed(made: Lamina, tmp_path: Path) -> None:
    made.environment["XDG_RUNTIME_DIR"] = str(tmp_path)
    mounted = made("mount", "hello:v1", str(tmp_path / "at"))
    assert mounted.returncode == 0, mounted.stderr
    try:
        told(made("cache", "gc", "--max-size", "0", "--json"))
        found = told(made("cache", "ls", "--json"))["packages"]
        assert {each["version"]: each["layers_here"] for each in found}["v1"] == 2
        assert (tmp_path / "at/hello.py").read_text().startswith("import sys")
    finally:
        assert made("umount", str(tmp_path / "at")).returncode == 0

    assert told(made("cache", "gc", "--max-size", "0", "--json"))["excess"] == 0


def test_pulls_keep_the_store_within_its_bounds(made: Lamina, node: Lamina, place: str) -> None:
    for version in ("v1", "v2", "v3"):
        made.write(
            {"words.py": f"WORD = '{version}'\n", "hello.py": f"import words\nprint('{version}')"}
        )
        told(made("push", "//:hello", f"{place}:{version}", "--version", version, "--json"))
    node.environment["LAMINA_CACHE_SIZE"] = "40K"

    for version in ("v1", "v2", "v3"):
        assert node("exec", f"{place}:{version}").stdout == f"{version}\n"

    here = {
        each["version"]: each["layers_here"]
        for each in told(node("cache", "ls", "--json"))["packages"]
    }
    assert here["v3"] == 2
    assert here["v1"] < 2
    assert node("exec", f"{place}:v1").stdout == "v1\n"  # it is fetched again


def test_wrong_bytes_are_found_and_fetched_again(made: Lamina, node: Lamina, place: str) -> None:
    told(made("push", "hello:v1", place, "--json"))
    told(node("pull", f"{place}:v1", "--json"))
    assert node("cache", "verify").returncode == 0
    layer = told(node("inspect", "hello:v1", "--json"))["layers"][0]["digest"].removeprefix(
        "sha256:"
    )
    blob = node.store / "blobs" / layer[:2] / layer[2:]
    blob.chmod(0o644)
    blob.write_bytes(bytes(blob.stat().st_size))

    done = node("cache", "verify")

    assert done.returncode == 4
    assert f"wrong and removed: {layer}" in done.stdout
    assert node("exec", f"{place}:v1").stdout == "hello\n"


def test_tables_are_for_people(made: Lamina) -> None:
    listed = made("cache", "ls").stdout.splitlines()
    assert "hello:v1" in [line.split()[0] for line in listed]
    assert made("cache", "du").stdout.splitlines()[-1].split()[0] == "all"


def test_a_repository_that_is_gone_is_told(made: Lamina, place: str, tmp_path: Path) -> None:
    if place.startswith("oci:"):
        told(made("push", "hello:v1", place, "--json"))
        shutil.rmtree(tmp_path / "repository" / "blobs")
    done = made("pull", f"{place}:v1")

    assert done.returncode in (2, 4)
    assert "error: " in done.stderr


def test_what_is_here_runs_while_the_registry_is_down(
    made: Lamina, node: Lamina, tmp_path: Path
) -> None:
    with servers.registry(tmp_path / "registry") as found:
        place = f"{found.host}/team/hello:v1"
        told(made("push", "hello:v1", place, "--json"))
        told(node("pull", place, "--json"))

    ran = node("exec", place, "--", "you")

    assert (ran.returncode, ran.stdout) == (0, "hello you\n"), ran.stderr


def test_wrong_bytes_of_a_layer_are_never_run_and_come_again(
    made: Lamina, node: Lamina, tmp_path: Path
) -> None:
    place = f"oci:{tmp_path}/repository:v1"
    told(made("push", "hello:v1", place, "--json"))
    told(node("pull", place, "--json"))
    for path in (node.store / "blobs").rglob("*"):
        if path.is_file():
            size = path.stat().st_size
            path.unlink()
            path.write_bytes(bytes(size))

    verified = node("cache", "verify")
    ran = node("exec", place, "--", "you")

    assert verified.returncode == 4
    assert (ran.returncode, ran.stdout) == (0, "hello you\n"), ran.stderr


def test_what_is_damaged_runs_also_where_nobody_has_verified(
    made: Lamina, node: Lamina, tmp_path: Path
) -> None:
    place = f"oci:{tmp_path}/repository:v1"
    reference = told(made("push", "hello:v1", place, "--json"))["digest"]
    told(node("pull", place, "--json"))
    spoil_layers(node)

    ran = node("exec", f"oci:{tmp_path}/repository@{reference}", "--", "you")

    assert (ran.returncode, ran.stdout) == (0, "hello you\n"), ran.stderr


def spoil_layers(node: Lamina) -> None:
    layers = [
        each for each in (node.store / "blobs").rglob("*")
        if each.is_file() and each.stat().st_size >= 4096
    ]  # fmt: skip
    assert layers
    for path in layers:
        size = path.stat().st_size
        path.unlink()
        path.write_bytes(bytes(size))


def test_what_is_damaged_is_mounted_when_it_has_come_again(
    made: Lamina, node: Lamina, tmp_path: Path
) -> None:
    place = f"oci:{tmp_path}/repository:v1"
    told(made("push", "hello:v1", place, "--json"))
    told(node("pull", place, "--json"))
    spoil_layers(node)
    at = tmp_path / "at"

    never = node("mount", "--pull", "never", place, str(at))
    spoil_layers(node)
    done = node("mount", place, str(at))
    try:
        words = (at / "words.py").read_text()
    finally:
        node("umount", str(at))

    assert (never.returncode, done.returncode) == (4, 0), (never.stderr, done.stderr)
    assert words == "WORD = 'hello'\n"
    assert "pulled" in done.stderr


def test_a_package_travels_in_a_file(made: Lamina, node: Lamina, tmp_path: Path) -> None:
    path = tmp_path / "hello.tar"
    assert made("push", "hello:v1", f"oci-archive:{path}").returncode == 0
    assert made("copy", str(path), f"oci:{tmp_path}/folder:v1").returncode == 0

    ran = node("exec", str(path), "--", "you")

    assert (ran.returncode, ran.stdout) == (0, "hello you\n"), ran.stderr
    assert told(node("inspect", "--missing", "--json", f"oci:{tmp_path}/folder:v1"))["missing"] == 0
    refused = node("pull", str(tmp_path / "none.tar"))
    assert refused.returncode == 2
    assert "there is no file" in refused.stderr
