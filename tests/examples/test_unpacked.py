"""Large layers that are used again become folders of the store, and nobody sees a difference."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lamina.core.errors import IntegrityError
from lamina.node import laid, laying, remember
from lamina.store import derived, starts
from lamina.store.local import LocalStore

Lamina = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver `kernel` is for root")

_PROGRAM = """\
import hashlib, os, sys, time
folder = os.path.dirname(os.path.abspath(__file__))
with open(f"{folder}/large.bin", "rb") as file:
    print(hashlib.sha256(file.read()).hexdigest(), flush=True)
try:
    open(f"{folder}/large.bin", "r+b")
except OSError as error:
    print(error.strerror, flush=True)
if sys.argv[1:]:
    sys.stdin.read()
    print(os.stat(f"{folder}/large.bin").st_size)
"""
_BUILD = """\
python_library(name = "large", resources = ["large.bin"])
python_binary(name = "program", srcs = ["program.py"], deps = [":large"])
"""


@dataclass(frozen=True)
class Site:
    """A package `program` with one large layer, in a store."""

    lamina: Lamina
    root: Path
    store: Path
    driver: str

    def start(self, reference: str = "program", *words: str, **more: str) -> list[str]:
        """What a start prints."""
        done = self.lamina(self.root, "exec", *words, reference, environment=self.around(more))
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def around(self, more: dict[str, str]) -> dict[str, str]:
        """Variables by which the driver is the one that this machine allows."""
        if self.driver == "kernel":
            return {"LAMINA_STORE": str(self.store), **more}
        return {"LAMINA_STORE": str(self.store), "PYTHONPATH": str(self.root / "without"), **more}

    @property
    def folders(self) -> list[Path]:
        """The layers that are folders."""
        return [path for path in (self.store / "laid").glob("*/*") if path.is_dir()]

    @property
    def record(self) -> Path:
        """The only record of a start."""
        (path,) = (self.store / starts.FOLDER).iterdir()
        return path

    @property
    def known(self) -> starts.Start:
        """What it says."""
        found = starts.decode(self.record.read_bytes())
        assert found is not None
        return found

    @property
    def kinds(self) -> list[str]:
        """What it says that is mounted."""
        return [kind for _, kind, _, _ in self.known.images]

    def wait(self) -> None:
        """Until nothing is being laid out in the store, which has to go well."""
        lock = self.store / "laying"
        if lock.exists():
            with lock.open("r") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                assert file.read() == ""


@pytest.fixture(params=["kernel", "fuse"])
def site(lamina: Lamina, tmp_path: Path, request: pytest.FixtureRequest) -> Site:
    if not laying.may_lie_on(str(tmp_path)):
        pytest.skip("the folder for temporary files lies on no disk")
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "lamina.toml").write_text("")
    (root / "BUILD").write_text(_BUILD)
    (root / "program.py").write_text(_PROGRAM)
    (root / "large.bin").write_bytes(random.Random(1).randbytes(3 << 20))
    # As on a machine without loop devices, FUSE is what serves root, too.
    (root / "without").mkdir()
    (root / "without/sitecustomize.py").write_text(
        f"import sys; sys.path.append({str(Path(laying.__file__).parents[2])!r})\n"
        "from lamina.linux import drivers\n"
        "drivers._missing_for_kernel = lambda: ['loop devices']\n"
    )
    found = Site(lamina, root, tmp_path / "store", request.param)
    made = lamina(root, "package", "-q", "//:program")
    assert made.returncode == 0, made.stderr
    return found


def test_a_large_layer_becomes_a_folder_and_all_is_as_before(site: Site) -> None:
    first = site.start()
    site.wait()
    assert len(site.folders) == 1

    seen = [site.start() for _ in range(3)]

    assert seen == [first] * 3
    assert first[1] == "Read-only file system"
    assert site.kinds == ["folder", "squashfs"]
    assert len(site.folders) == 1
    told = site.lamina(
        site.root, "exec", "--explain", "program", environment=site.around({})
    ).stdout.splitlines()
    assert [line.split(":")[0].strip() for line in told[3:]] == ["alone", "unpacked"]


def test_runs_of_small_layers_become_folders_with_the_large_one(site: Site) -> None:
    numbers = range(40)
    for number in numbers:
        (site.root / f"part{number}.py").write_text(f"NUMBER = {number}\n")
    parts = "".join(f'python_library(name = "part{n}", srcs = ["part{n}.py"])\n' for n in numbers)
    deps = "".join(f', ":part{number}"' for number in numbers)
    (site.root / "BUILD").write_text(parts + _BUILD.replace('":large"]', f'":large"{deps}]'))
    modules = ", ".join(f"part{number}" for number in numbers)
    total = "+".join(f"part{number}.NUMBER" for number in numbers)
    (site.root / "program.py").write_text(f"import {modules}\nprint({total})\n{_PROGRAM}")
    made = site.lamina(site.root, "package", "-q", "//:program")
    assert made.returncode == 0, made.stderr

    first = site.start()
    site.wait()
    seen = [site.start() for _ in range(2)]

    assert seen == [first] * 2
    assert first[0] == str(sum(numbers))
    told = site.lamina(site.root, "exec", "--explain", "program", environment=site.around({}))
    assert "merged and unpacked" in told.stdout
    assert set(site.kinds) == ({"folder"} if site.driver == "fuse" else {"folder", "squashfs"})

    (site.root / "part7.py").write_text("NUMBER = 1007\n")
    assert site.lamina(site.root, "package", "-q", "//:program").returncode == 0
    assert site.start() == [str(sum(numbers) + 1000), *first[1:]]
    site.wait()
    assert site.start() == [str(sum(numbers) + 1000), *first[1:]]


def test_a_merged_image_that_was_changed_is_not_laid_out(site: Site) -> None:
    test_runs_of_small_layers_become_folders_with_the_large_one(site)
    for merged in (site.store / "merged").glob("*/??????*"):
        with contextlib.closing(LocalStore(site.store)) as store:
            for laid_out in site.folders:
                derived.remove(laid_out, store)
        merged.chmod(0o644)
        with merged.open("r+b") as file:
            file.write(b"hsqt")
        with pytest.raises(IntegrityError, match="is not what was merged"):
            laid.lay_out(merged, site.store)


def test_in_a_container_too(site: Site) -> None:
    first = site.start("program", "--contain")
    site.wait()

    assert [site.start("program", "--contain") for _ in range(2)] == [first] * 2
    assert site.kinds == ["folder", "squashfs"]


@pytest.mark.parametrize("words", [(), ("--contain",)])
def test_folders_that_come_while_a_package_starts_are_in_its_record(
    site: Site, words: tuple[str, ...]
) -> None:
    with (site.root / "without/sitecustomize.py").open("a") as file:
        file.write(
            "import os\n"
            "if 'AT_ONCE' in os.environ:\n"
            "    from pathlib import Path\n"
            "    from lamina.node import laid, laying\n"
            "    laying.begin = lambda store, images: [\n"
            "        laid.lay_out(Path(image), Path(store)) for image in images\n"
            "    ]\n"
            "if 'WITH_KERNEL' in os.environ:\n"
            "    from lamina.linux import drivers\n"
            "    drivers._missing_for_kernel = list\n"
        )
    more = {"AT_ONCE": "1", "PYTHONPATH": str(site.root / "without")}
    if site.driver == "kernel":
        more["WITH_KERNEL"] = "1"

    first = site.start("program", *words, **more)
    assert site.kinds == ["folder", "squashfs"]
    assert site.start("program", *words) == first
    assert site.kinds == ["folder", "squashfs"]


@pytest.mark.parametrize("words", [(), ("--contain",)])
def test_the_record_of_a_start_has_the_folders_when_they_are_there(
    site: Site, words: tuple[str, ...]
) -> None:
    site.start("program", *words)
    site.wait()

    renewed = site.known
    site.record.unlink()
    site.start("program", *words)

    made = site.known
    assert renewed.images == made.images
    assert site.kinds == ["folder", "squashfs"]
    assert (renewed.large, renewed.notes) == (made.large, made.notes)
    assert renewed == made or words  # a container has another control group


def test_a_pull_that_unpacks_renews_the_records(site: Site, tmp_path: Path) -> None:
    place = f"oci:{tmp_path}/hub:v1"
    assert site.lamina(site.root, "push", "program", place).returncode == 0
    other = Site(site.lamina, site.root, tmp_path / "other", site.driver)
    other.start(place)
    assert other.kinds == ["squashfs", "squashfs"]

    pull = ("pull", "--unpack", place)
    never = {"LAMINA_UNPACK": "never"}  # which is not what the record is for
    assert site.lamina(site.root, *pull, environment=other.around(never)).returncode == 0
    assert other.kinds == ["squashfs", "squashfs"]
    assert site.lamina(site.root, *pull, environment=other.around({})).returncode == 0

    assert other.kinds == ["folder", "squashfs"]
    assert other.start(place) == site.start()


def test_a_record_stays_where_its_layers_are_gone(site: Site) -> None:
    site.start()
    site.wait()
    site.record.write_bytes(starts.encode(before := replaced(site.known, site.store)))
    for path in (site.store / "blobs").glob("*/*"):
        if path.stat().st_size > 3 << 20:
            path.unlink()

    with contextlib.closing(LocalStore(site.store)) as store:
        remember.renew(store)

    assert site.known == before


def replaced(known: starts.Start, store: Path) -> starts.Start:
    """A record from before the folders were there."""
    (image,) = (path for path in (store / "blobs").glob("*/*") if path.stat().st_size > 3 << 20)
    folder = known.images[0][0]
    known.large = [(str(image), str(Path(folder).parent))]
    known.images[0] = (str(image), "squashfs", 0, starts.state(str(image)))
    return known


def test_not_where_the_environment_says_never(site: Site) -> None:
    for _ in range(3):
        site.start(LAMINA_UNPACK="never")
        site.wait()

    assert site.folders == []
    site.start(LAMINA_UNPACK="always")
    assert site.kinds == ["folder", "squashfs"]
    site.start(LAMINA_UNPACK="never")
    assert site.kinds == ["squashfs", "squashfs"]


def test_a_wrong_word_is_told(site: Site) -> None:
    said = site.lamina(
        site.root, "exec", "program", environment=site.around({"LAMINA_UNPACK": "yes"})
    )

    assert said.returncode == 125
    assert "`LAMINA_UNPACK` is `yes`" in said.stderr


def test_what_has_just_come_is_used_once_more_before(site: Site, tmp_path: Path) -> None:
    place = f"oci:{tmp_path}/hub:v1"
    assert site.lamina(site.root, "push", "program", place).returncode == 0
    other = Site(site.lamina, site.root, tmp_path / "other", site.driver)

    other.start(place)
    other.wait()
    assert other.folders == []

    for _ in range(2):  # a tag is looked up anew each time, at first
        other.start(place)
        other.wait()
    assert len(other.folders) == 1
    assert other.start(place) == site.start()
    assert other.kinds == ["folder", "squashfs"]


def test_a_pull_can_unpack(site: Site, tmp_path: Path) -> None:
    place = f"oci:{tmp_path}/hub:v1"
    assert site.lamina(site.root, "push", "program", place).returncode == 0
    other = Site(site.lamina, site.root, tmp_path / "other", site.driver)

    told = site.lamina(site.root, "pull", "--json", "--unpack", place, environment=other.around({}))

    assert json.loads(told.stdout)["unpacked"] == 1
    assert len(other.folders) == 1
    assert other.start(place) == site.start()


def test_no_folder_goes_while_a_program_uses_it(site: Site) -> None:
    site.start()
    site.wait()
    running = subprocess.Popen(
        [sys.executable, "-m", "lamina.cli", "exec", "program", "--", "wait"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **site.around({})}
        | ({} if site.driver == "kernel" else {"PYTHONPATH": str(site.root / "without")}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    running.stdout.readline()

    collect = ("cache", "gc", "--max-size", "0")
    assert site.lamina(site.root, *collect).returncode == 0
    assert len(site.folders) == 1
    out, _ = running.communicate("", timeout=30)
    assert out.split()[-1] == str(3 << 20)

    assert site.lamina(site.root, *collect).returncode == 0
    assert site.folders == []


@pytest.fixture
def held(site: Site) -> Iterator[Site]:
    """Somebody is at work in the store."""
    with (site.store / "laying").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield site


def test_one_at_a_time(held: Site) -> None:
    begun = time.time()
    for _ in range(3):
        held.start()

    assert held.folders == []
    with pytest.raises(BlockingIOError), (held.store / "laying").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert (held.store / "laying").stat().st_mtime <= begun


def test_on_no_disk_a_pull_tells_why_it_cannot_unpack(
    site: Site, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = f"oci:{tmp_path}/hub:v1"
    assert site.lamina(site.root, "push", "program", place).returncode == 0
    memory = tmp_path / "memory"
    memory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", memory], check=True)
    request.addfinalizer(lambda: subprocess.run(["umount", memory], check=True))
    around = {"LAMINA_STORE": str(memory / "store")}

    said = site.lamina(site.root, "pull", "--unpack", place, environment=around)

    assert said.returncode == 2
    assert "it lies on no disk of this machine" in said.stderr
    for _ in range(3):
        done = site.lamina(site.root, "exec", place, environment=site.around(around))
        assert done.returncode == 0, done.stderr
    assert not (memory / "store/laying").exists()
