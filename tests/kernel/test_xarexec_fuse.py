"""`xarexec` beside the program of XAR's authors: one file, run by both, for root and others.

Docs tell how to compile theirs (packages.md); without it there is nothing to compare with.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from lamina.formats import xar
from tests.conftest import NO_XAREXEC_FUSE, XAREXEC_FUSE

from .conftest import MAIN, PATH, Person, processes

pytestmark = pytest.mark.skipif(XAREXEC_FUSE is None, reason=NO_XAREXEC_FUSE)

XarFile = Callable[..., Path]
Image = Callable[..., Path]
UUID = "ab" * 32
ABORTED = -signal.SIGABRT  # how theirs ends on failure; a shell shows 134, which ours ends with
SHOW = """\
echo "$0" $# "$@" options=$-
umask
pwd
env | grep -v -e ^_= -e ^XAREXEC_LAUNCH_TIMESTAMP= | sort
echo at=$XAREXEC_LAUNCH_TIMESTAMP
grep -e SigBlk -e SigIgn /proc/self/status
ls /proc/self/fd | wc -l
cat
"""


class Ended(NamedTuple):
    """How a program ended, without what differs from time to time."""

    code: int
    out: str
    words: str


class Both:
    """Runs each of the programs as one person, with mounts of its own."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self._count = 0

    def theirs(self, *args: object, seed: str = "", **options: object) -> Ended:
        return self._ended([str(XAREXEC_FUSE)], args, seed, options)

    def ours(self, *args: object, seed: str = "", **options: object) -> Ended:
        return self._ended([self.person.python, "-c", MAIN], args, seed, options)

    def alike(self, *args: object, **options: object) -> Ended:
        """What one does, which is what the other does."""
        self._count += 1
        theirs = self.theirs(*args, seed=f"one{self._count}", **options)
        ours = self.ours(*args, seed=f"two{self._count}", **options)
        assert ours == theirs
        return ours

    def _ended(
        self, program: list[str], args: tuple[object, ...], seed: str, options: dict[str, object]
    ) -> Ended:
        become: dict[str, object] = {}
        if os.geteuid() != self.person.uid:
            become = {"user": self.person.uid, "group": self.person.uid, "extra_groups": []}
        environment = {"PATH": PATH, "PYTHONPATH": str(self.person.area / "src")}
        done = subprocess.run(  # type: ignore[call-overload]
            [*program, *map(str, args)],
            **{"input": b"", **become, **options},
            cwd=self.person.area,
            env={**environment, **({"XAR_MOUNT_SEED": seed} if seed else {})},
            capture_output=True,
            timeout=60,
            check=False,
        )
        out, words = (self._cleaned(text.decode()) for text in (done.stdout, done.stderr))
        return Ended(done.returncode, out, words)

    @staticmethod
    def _cleaned(text: str) -> str:
        return re.sub(r"\b(one|two)[0-9]+\b", "SEED", re.sub(r"at=[0-9]+\.[0-9]{6}", "at=T", text))


@pytest.fixture
def both(person: Person) -> Both:
    return Both(person)


def test_target_arguments_environment_files_and_signals_are_the_same(
    both: Both,
    xar_file: XarFile,
) -> None:
    made = xar_file(SHOW, name="a b")

    ended = both.alike(made.name, "x y", "", "-m", "*", input=b"from stdin")

    first, *rest = ended.out.splitlines()
    assert first.endswith(f"/run 5 {made.name} x y  -m * options=e")
    assert "XARFUSE_NEW_MOUNT=1" in rest
    assert "at=T" in rest
    assert rest[-1] == "from stdin"
    assert both.alike(made, umask=0o027).out.splitlines()[1] == "0027"


@pytest.mark.parametrize("script", ["exit 7\n", "false\n", "kill -TERM $$\n", "kill -SEGV $$\n"])
def test_programs_end_in_the_same_way(
    both: Both,
    xar_file: XarFile,
    script: str,
) -> None:
    assert both.alike(xar_file(script)).code


def test_each_finds_what_the_other_has_mounted(
    both: Both,
    xar_file: XarFile,
    area: Path,
) -> None:
    for first, second in ((both.theirs, both.ours), (both.ours, both.theirs)):
        made = xar_file(uuid="ab12" if first == both.ours else "CD34")

        assert first("-n", made) == second("-n", made)
        mounted = first("-m", made)

        assert (mounted.code, mounted.words) == (0, "")
        assert second("-m", made) == mounted
        assert "new= at=" in second(made).out
    assert len(processes(area.name)) == 2


def test_each_replaces_a_server_of_the_other_that_has_died(
    both: Both,
    xar_file: XarFile,
    area: Path,
) -> None:
    made = xar_file()
    for first, second in ((both.theirs, both.ours), (both.ours, both.theirs)):
        mounted = first("-m", made)
        for each in processes(area.name):
            os.kill(int(each.split(":")[0]), signal.SIGKILL)

        assert second("-m", made) == mounted


def test_many_of_both_at_once_share_one_mount(
    both: Both,
    person: Person,
    xar_file: XarFile,
    area: Path,
) -> None:
    made = xar_file("cat ${0%/*}/data\n")
    code = f"import os; os.execv({str(XAREXEC_FUSE)!r}, ['x', {str(made)!r}])"

    started = [
        each for _ in range(4) for each in (person.start(MAIN, str(made)), person.start(code))
    ]

    assert [each.communicate(timeout=60)[0] for each in started] == [b"inside"] * 8
    assert len([each for each in processes(area.name) if "squashfuse_ll" in each]) == 1


def changed(old: str, new: str) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        head, image = data[: xar.SIZE], data[xar.SIZE :]
        assert old.encode() in head
        return head.rstrip(b"\n").replace(old.encode(), new.encode(), 1).ljust(4096, b"\n") + image

    return change


REFUSED = {
    "an empty file": lambda data: b"",
    "text": lambda data: b"no XAR file\n" * 1000,
    "half a header": lambda data: data[:2000],
    "a header alone": lambda data: data[:4096],
    "no image": lambda data: data[:4096] + bytes(8192),
    "another version of squashfs": lambda data: data[: 4096 + 28] + b"\x05" + data[4096 + 29 :],
    "no OFFSET": changed('OFFSET="4096"\n', ""),
    "an OFFSET below 0": changed("4096", "-4096"),
    "a huge OFFSET": changed("4096", "9" * 30),
    "no UUID": changed(f'UUID="{UUID}"\n', ""),
    "an empty UUID": changed(UUID, ""),
    "a UUID with a path": changed(UUID, "../../ab"),
    "no target": changed('XAREXEC_TARGET="run"\n', ""),
    "an absent target": changed('"run"', '"absent"'),
    "a target outside": changed('"run"', '"../../../absent"'),
    "a line that sets nothing": changed("#xar_stop", "nothing\n#xar_stop"),
    "a value without quotes": changed('"run"', "run"),
    "an absent mount root": changed("#xar_stop", 'MOUNT_ROOT="/nonexistent"\n#xar_stop'),
    "a mount root of somebody": changed("#xar_stop", 'MOUNT_ROOT="/usr"\n#xar_stop'),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_both_refuse_what_is_damaged(
    both: Both,
    xar_file: XarFile,
    fault: str,
) -> None:
    made = xar_file()
    made.write_bytes(REFUSED[fault](made.read_bytes()))

    theirs, ours = both.theirs(made), both.ours(made)

    assert (theirs.code, theirs.out) == (ABORTED, "")
    assert theirs.words
    assert (ours.code, ours.out) == (134, "")
    assert ours.words.startswith("error: ")
    assert len(ours.words.splitlines()) <= 2  # the error, and perhaps a hint


@pytest.mark.parametrize(
    "change",
    [
        changed("#xar_stop\n", ""),
        changed("#xar_stop", '# a comment\n\nUNKNOWN="a=b"\n#xar_stop'),
        changed("#xar_stop", 'XAREXEC_TRAMPOLINE_NAMES="no list"\n#xar_stop'),
        changed('"run"', '"absent"\nXAREXEC_TARGET="run"'),
        changed('VERSION="1"\n', ""),
    ],
)
def test_both_run_what_is_unusual(
    both: Both,
    xar_file: XarFile,
    change: Callable[[bytes], bytes],
) -> None:
    made = xar_file("echo runs\n")
    head, _, image = made.read_bytes().partition(b"#xar_stop\n")
    plain = (head + b"#xar_stop\n").ljust(4096, b"\n")  # without the lines for a shell
    made.write_bytes(change(plain + image[4096 - len(head) - 10 :]))

    assert both.alike(made) == (0, "runs\n", "")


@pytest.mark.parametrize(
    "change",
    [changed('"run"', '"/run"'), changed("#!", "##"), changed("#xar_stop", 'A="\0"\n#xar_stop')],
)
def test_ours_refuses_what_no_tool_writes(
    both: Both,
    xar_file: XarFile,
    change: Callable[[bytes], bytes],
) -> None:
    made = xar_file("echo runs\n")
    made.write_bytes(change(made.read_bytes()))

    assert both.theirs(made, seed="one") == (0, "runs\n", "")
    assert both.ours(made, seed="two").code == 134


def test_ours_alone_reads_longer_headers(both: Both, image: Image, area: Path) -> None:
    made = image({"run": "echo runs\n"}, offset=8192)
    data = made.read_bytes()
    key = f'MOUNT_ROOT="{area}/mnt"\n#xar_stop'.encode()
    made.write_bytes(data[:8192].replace(b"#xar_stop", key)[:8192] + data[8192:])

    assert both.theirs(made).code == ABORTED
    assert both.ours(made) == (0, "runs\n", "")


@pytest.fixture
def make_xar(person: Person, area: Path) -> Callable[..., Path]:
    """Facebook's own make_xar, PyPI `xar`, in the Python that is to run what it makes."""
    found = pytest.importorskip(
        "xar.make_xar", reason="no PyPI `xar` (Python < 3.12, setuptools < 81)"
    )

    def make(*words: str | Path) -> Path:
        made = area / "made.xar"
        subprocess.run(
            [person.python, "-m", "xar.make_xar", *words, "--output", made,
             "--xar-mount-root", area / "mnt"],
            env={**os.environ, "PYTHONPATH": str(Path(found.__file__).parents[1])},
            check=True, capture_output=True,
        )  # fmt: skip
        made.chmod(0o755)
        return made

    return make


@pytest.mark.parametrize("compressor", ["gzip", "zstd", "xz", "lz4"])
def test_both_run_xars_of_facebooks_make_xar(
    both: Both, make_xar: Callable[..., Path], area: Path, compressor: str
) -> None:
    tree = area / "raw"
    tree.mkdir()
    (tree / "hello.sh").write_text('echo hello "$@"; cat "${0%/*}/data"; exit 3\n')
    (tree / "data").write_text("data\n")

    words = ("--raw", tree, "--raw-executable", "hello.sh")
    made = make_xar(*words, "--xar-compression-algorithm", compressor)

    assert both.alike(made, "a b") == (3, f"hello {made} a b\ndata\n", "")


def test_both_run_a_python_program_of_facebooks_make_xar(
    both: Both, make_xar: Callable[..., Path], area: Path
) -> None:
    tree = area / "python"
    tree.mkdir()
    (tree / "hello.py").write_text(
        "import sys\ndef main():\n    print('hello', sys.argv[1:])\n    sys.exit(5)\n"
    )

    words = ("--python", tree, "--python-entry-point", "hello:main")
    made = make_xar(*words, "--python-interpreter", both.person.python)

    assert both.alike(made, "a b", "")[:2] == (5, "hello ['a b', '']\n")
