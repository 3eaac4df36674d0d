"""An edit that came with a job starts over the package before: no interpreter, the same program."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lamina.formats import carried, edit
from tests import launcher

Lamina = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the driver `kernel` is for root")

_BUILD = """\
python_library(name = "low", srcs = glob(["low*.py"]), resources = [{resources}])
python_library(name = "high", srcs = ["high.py"], deps = [":low"])
python_binary(name = "program", srcs = ["program.py"], deps = [":high"{more}], env = {{"OWN": "1"}})
"""
_PROGRAM = (
    "import high, sys; print('{word}', high.low.WORD); exec(sys.argv[1] if sys.argv[1:] else '')"
)
# All that shows below the package, with what it is.
_LISTED = """
import hashlib, os
root = os.environ["LAMINA_PACKAGE"]
for folder, _, files in sorted(os.walk(root)):
    print(folder.replace(root, ""), oct(os.lstat(folder).st_mode), os.lstat(folder).st_mtime)
    for name in sorted(files):
        path = os.path.join(folder, name)
        found = os.lstat(path)
        data = os.readlink(path).encode() if os.path.islink(path) else open(path, "rb").read()
        told = hashlib.sha256(data).hexdigest()
        print(" ", name, oct(found.st_mode), found.st_uid, found.st_size, found.st_mtime, told)
print(sorted((k, v) for k, v in os.environ.items() if k.startswith("LAMINA_") or k == "OWN"))
print(sys.argv[0].replace(root, ""), sys.argv[2:])
"""


@dataclass
class Site:
    """Who submits, and a node with the launcher, which began with a version and got jobs since."""

    lamina: Lamina
    root: Path
    hub: str
    command: str
    store: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def write(self, **words: str) -> None:
        """Edit: each word is of a module."""
        files = {
            "low": "WORD = '{word}'\n", "high": "import low  # {word}\n", "program": _PROGRAM,
        }  # fmt: skip
        for name, word in words.items():
            text = files.get(name, "# {word}\n").format(word=word)
            (self.root / f"{name}.py").write_text(text)

    def build(self, more: str = "", resources: str = "") -> None:
        (self.root / "BUILD").write_text(_BUILD.format(more=more, resources=resources))

    def submit(self) -> tuple[str, str]:
        """The package's reference, and what came with a job; then it is pushed."""
        script = self._ours("submit", "//:program", "--on", "lab", "--dry-run")
        self._ours("push", "-q", "//:program", f"{self.hub}/program")
        found = re.search(r"lamina exec (\S+) --", script), re.search(r"CARRIED=(\S+)", script)
        assert found[0] is not None
        return found[0][1], found[1][1] if found[1] is not None else ""

    def _ours(self, *words: str) -> str:
        done = self.lamina(self.root, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(
        self, job: tuple[str, str], *words: str, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """What a task of a job does on the node."""
        environment = {
            **os.environ,
            "LAMINA_STORE": str(self.store),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "LAMINA_CARRIED": job[1],
            **self.environment,
            **more,
        }
        return subprocess.run(
            [self.command, "exec", job[0], "--", *words], cwd="/", env=environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def lines(self, job: tuple[str, str], *words: str, **more: str) -> list[str]:
        """What a start that has to succeed prints; first `python`, where that was asked."""
        done = self.run(job, *words, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture(params=["kernel", "fuse"])
def site(lamina: Lamina, tmp_path: Path, request: pytest.FixtureRequest) -> Site:
    """One whose node has started a version."""
    root = tmp_path / "workspace"
    root.mkdir()
    hub = f"oci:{tmp_path}/hub"
    (root / "lamina.toml").write_text(f'[cluster.lab]\nlauncher = "slurm"\nregistry = "{hub}"\n')
    environment = {"WITHOUT_KERNEL": "1"} if request.param == "fuse" else {}
    command = launcher.beside(tmp_path, launcher.TELLING)
    found = Site(lamina, root, hub, command, tmp_path / "node", environment)
    found.build()
    found.write(low="one", high="one", program="one")
    # The first push has no version before, so nothing comes with a job of it.
    job = found.submit()
    assert "," not in job[1]
    assert found.lines(job) == ["python", "one one"]
    return found


def test_an_edit_needs_no_interpreter(site: Site) -> None:
    site.write(low="two")
    job = site.submit()

    assert site.lines(job) == ["one two"]
    assert site.lines(job) == ["one two"]
    again = site.submit()
    assert (again[0], again[1].partition(",")[2]) == (job[0], job[1].partition(",")[2])
    assert site.lines(again) == ["one two"]


def test_edits_of_several_modules_lie_over_the_version_that_was_started(site: Site) -> None:
    for edits, told in (
        ({"low": "two"}, "one two"),
        ({"program": "two"}, "two two"),
        ({"high": "two"}, "two two"),
        ({"low": "one"}, "two one"),
        ({"program": "three", "low": "three"}, "three three"),
    ):
        site.write(**edits)
        assert site.lines(site.submit()) == [told]
    assert len(list((site.store / "starts").iterdir())) == 1


def test_it_shows_the_program_what_python_would(site: Site, tmp_path: Path) -> None:
    site.write(low="two", program="two", low2="new")  # with a file that was not there
    job = site.submit()
    by_launcher = site.lines(job, _LISTED, "words of", "its own")
    shutil.rmtree(site.store)
    by_python = site.lines(job, _LISTED, "words of", "its own")

    assert by_python == ["python", *by_launcher]
    assert len(by_launcher) > 10
    assert not any("CARRIED" in line for line in by_launcher)


def test_an_edit_beside_much_data_comes_alone(site: Site) -> None:
    """Of a layer that is too large to travel with a job, the files that changed do."""
    data = site.root / "low.bin"
    data.write_bytes(random.Random(1).randbytes(1 << 20))
    site.build(resources='"low.bin"')
    assert site.lines(site.submit())[0] == "python"
    for word in ("two", "three"):
        site.write(low=word)
        job = site.submit()
        assert carried.decode(job[1]) == []
        assert len(job[1]) < 8000
        said = site.lines(job, "import os; print(os.stat(sys.path[0] + '/low.bin').st_size)")
        assert said == [f"one {word}", str(1 << 20)]
    shutil.rmtree(site.store)
    assert site.lines(job) == ["python", "one three"]


def test_a_library_that_is_new(site: Site) -> None:
    (site.root / "more.py").write_text("")
    (site.root / "extra").mkdir()
    (site.root / "extra/BUILD").write_text(
        'python_library(name = "extra", srcs = ["extra.py"], visibility = ["PUBLIC"])\n'
    )
    (site.root / "extra/extra.py").write_text("WORD = 'extra'\n")
    site.build(more=', "//extra"')
    job = site.submit()

    assert site.lines(job, "import extra.extra; print(extra.extra.WORD)") == ["one one", "extra"]


def test_where_a_file_is_gone_python_is_asked(site: Site) -> None:
    site.write(low2="more")
    assert site.lines(site.submit())[0] == "one one"
    (site.root / "low2.py").unlink()
    site.write(low="two")
    job = site.submit()

    assert "," not in job[1]
    assert site.lines(job, "import os; print('low2.py' in os.listdir(sys.path[0]))") == [
        "python", "one two", "False",
    ]  # fmt: skip
    site.write(low="three")
    assert site.lines(site.submit()) == ["one three"]


@pytest.mark.parametrize("site", ["kernel"], indirect=True)  # what mounts has no say in it
def test_variables_of_the_rule_are_those_of_the_edit(site: Site) -> None:
    build = site.root / "BUILD"
    build.write_text(build.read_text().replace('"OWN": "1"', '"OWN": "2"'))

    told = site.lines(site.submit(), "import os; print(os.environ['OWN'])")

    assert told == ["one one", "2"]


def test_a_launcher_that_an_edit_changes_is_its_own(site: Site) -> None:
    build, own = site.root / "BUILD", "import os; print(os.environ.get('OWN'))"
    with_variables = build.read_text()
    build.write_text(with_variables.replace(', env = {"OWN": "1"}', ""))
    shutil.rmtree(site.store)
    assert site.lines(site.submit(), own) == ["python", "one one", "None"]
    site.write(low="two")
    assert site.lines(site.submit(), own) == ["one two", "None"]

    build.write_text(with_variables)

    assert site.lines(site.submit(), own) == ["one two", "1"]


@pytest.mark.parametrize("site", ["kernel"], indirect=True)  # what mounts has no say in it
def test_where_a_library_is_gone_python_is_asked(site: Site) -> None:
    build = site.root / "BUILD"
    lines = build.read_text().replace(', deps = [":low"]', "").splitlines(keepends=True)
    build.write_text("".join(lines[1:]))
    (site.root / "high.py").write_text("class low: WORD = 'own'\n")
    job = site.submit()

    assert "," not in job[1]
    assert site.lines(job, "import os; print('low.py' in os.listdir(sys.path[0]))") == [
        "python", "one own", "False",
    ]  # fmt: skip


@pytest.mark.parametrize("site", ["kernel"], indirect=True)  # what mounts has no say in it
def test_where_no_version_before_was_started_python_is_asked(site: Site) -> None:
    site.write(low="two")
    job = site.submit()
    shutil.rmtree(site.store)

    assert site.lines(job) == ["python", "one two"]


@pytest.mark.parametrize("site", ["kernel"], indirect=True)  # what mounts has no say in it
def test_after_many_edits_python_is_asked_once(site: Site) -> None:
    kinds = []
    for number in range(edit.OVER + 3):
        site.write(low=str(number))
        kinds.append(len(site.lines(site.submit())))

    assert kinds == [1] * edit.OVER + [2, 1, 1]


@pytest.mark.parametrize("site", ["kernel"], indirect=True)  # what mounts has no say in it
def test_what_is_too_much_does_not_come(site: Site) -> None:
    site.write(low=random.Random(1).randbytes(edit.LARGEST).hex())
    job = site.submit()

    assert "," not in job[1]
    assert site.lines(job)[0] == "python"


@pytest.mark.parametrize("site", ["kernel"], indirect=True)  # what mounts has no say in it
def test_a_policy_is_asked(site: Site, tmp_path: Path) -> None:
    site.write(low="two")
    job = site.submit()
    folder = tmp_path / "config/lamina"
    folder.mkdir(parents=True)
    (folder / "policy.toml").write_text('[[policy]]\npackages = ["*"]\nkeys = []\n')

    done = site.run(job, XDG_CONFIG_HOME=str(tmp_path / "config"))

    assert done.stdout.startswith("python")
    assert done.returncode != 0


@pytest.mark.parametrize("site", ["kernel"], indirect=True)  # what mounts has no say in it
def test_another_package_of_the_same_registry_is_not_taken_for_it(site: Site) -> None:
    site.write(low="two")
    job = site.submit()
    other = f"{job[0].partition('@')[0]}@sha256:{'0' * 64}"

    # Nobody sends that one, so that it is not worth waiting for.
    text = job[1].replace("1w:", "1:", 1)
    assert site.run((other, text)).stdout.startswith("python")


def test_an_image_that_has_changed_is_left_to_python(site: Site) -> None:
    site.write(low="two")
    job = site.submit()
    for folder in ("blobs", "merged"):
        for image in (site.store / folder).glob("*/*"):
            os.utime(image)  # its state is another one

    assert site.lines(job) == ["python", "one two"]


def test_it_tells_its_times(site: Site, tmp_path: Path) -> None:
    site.write(low="two")
    report = tmp_path / "report.json"

    assert site.lines(site.submit(), LAMINA_REPORT=str(report)) == ["one two"]
    times = json.loads(report.read_text())
    assert list(times) == ["begin", "pulled", "mounted", "started"]
    assert sorted(times.values()) == list(times.values())


def test_nothing_of_it_stays(site: Site) -> None:
    """Neither in the store, nor a process that serves it, nor a device."""
    site.write(low="two")
    job = site.submit()
    before = sorted(path.relative_to(site.store) for path in site.store.rglob("*"))

    told = site.lines(job, "import os; print(sorted(os.listdir('/proc/self/fd')))")

    assert sorted(path.relative_to(site.store) for path in site.store.rglob("*")) == before
    assert told[0] == "one two"
    assert len(eval(told[1])) <= 5  # its streams, the lease, and that folder itself


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The launcher, made so that it ends with an error where it touches memory that it may not."""
    made = tmp_path_factory.mktemp("checked") / "lamina"
    return launcher.compiled(made, *launcher.CHECKS)


def _damaged(text: str, chance: random.Random) -> str:
    blobs, _, own = text.partition(",")
    fields = own.split(":")
    at = chance.randrange(len(fields))
    odd = ["", "1", "x" * 5000, "+", "+" * 40, "0" * 64, "..", "a/b", "=", "====", "A", "AA==", "é"]
    kinds: tuple[Callable[[], str], ...] = (
        lambda: own[: chance.randrange(len(own))],
        lambda: ":".join([*fields[:at], *fields[at + 1 :]]),
        lambda: ":".join([*fields[:at], fields[at], *fields[at:]]),
        lambda: ":".join([*fields[:at], chance.choice(odd), *fields[at + 1 :]]),
        lambda: "".join(
            each if chance.random() > 0.01 else chr(chance.randrange(1, 128)) for each in own
        ),
    )
    damaged = chance.choice(kinds)()
    if chance.random() < 0.7:  # as one who knows the form would write it
        head, images = damaged.split(":")[:4], ":".join(damaged.split(":")[5:])
        damaged = ":".join([*head, _check(images), images])
    return f"{blobs},{damaged}"


def _check(images: str) -> str:
    from hashlib import blake2s

    return blake2s(images.encode()).hexdigest()


@pytest.mark.parametrize("site", ["kernel"], indirect=True)  # what mounts has no say in it
def test_damaged_edits_never_break_it(site: Site, checked: Path) -> None:
    site.write(low="two")
    reference, text = site.submit()
    folder = Path(site.command).parent
    shutil.copy(checked, folder / "lamina")
    (folder / "lamina-python").write_text("#!/bin/sh\necho python\n")
    chance = random.Random(7)
    leaks = {"ASAN_OPTIONS": "detect_leaks=0"}  # what ends with the process is not given back
    assert site.lines((reference, text), **leaks) == ["one two"]

    kinds = set()
    for _ in range(200):
        done = site.run((reference, _damaged(text, chance)), **leaks)
        assert "Sanitizer" not in done.stderr, done.stderr
        assert "runtime error" not in done.stderr, done.stderr
        kinds.add(done.stdout.strip())
    assert "python" in kinds
