"""A base image is the root of a program, for root and for an ordinary user alike."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from lamina.formats import imagelayer, squashfs

from .conftest import Launcher, Person
from .contained import Containers, every, need, somebody, wait_for_no_container

TOOLS = ("sh", "ls", "cat", "stat", "id", "readlink", "sleep")

# What is started: a package whose lowest layers are its base image's, by the real `launch`.
LAUNCH = """
import json, sys
from pathlib import Path
from lamina.core.errors import LaminaError
from lamina.core.manifest import Image, Package
from lamina.node.launch import launch
base, driver, before, *images = json.loads(sys.argv[1])
exec(before)
package = Package(
    "any", "v1", "//:any", (), ("run",), base="//:base", base_layers=base,
    image=Image("", ("FROM=image",), folder="/data"),
)
try:
    launch(package, list(map(Path, images)), sys.argv[2:], driver=driver)
except LaminaError as error:
    sys.stderr.write(f"error: {error.message}\\nhint: {error.hint}\\n")
    sys.exit(125)
"""


@dataclass(frozen=True)
class Entry:
    """A member of a layer."""

    text: str = ""
    type: bytes = tarfile.REGTYPE
    mode: int = 0o644
    owner: int = 0
    target: str = ""
    device: tuple[int, int] = (0, 0)


FOLDER = Entry(type=tarfile.DIRTYPE, mode=0o755)


@pytest.fixture
def layer(area: Path) -> Callable[..., Path]:
    """Makes a layer of a base image as lamina does, of files of this machine and of others."""
    numbers = iter(range(100))

    def make(entries: Mapping[str, Entry], machine: tuple[str, ...] = ()) -> Path:
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            for path in machine:
                tar.add(Path(path).resolve(), path.lstrip("/"), filter=_roots)
            for path, entry in entries.items():
                info = tarfile.TarInfo(path)
                info.type, info.mode, info.size = entry.type, entry.mode, len(entry.text)
                info.uid = info.gid = entry.owner
                info.linkname = entry.target
                info.devmajor, info.devminor = entry.device
                tar.addfile(info, io.BytesIO(entry.text.encode()))
        converted = io.BytesIO()
        imagelayer.convert(io.BytesIO(made.getvalue()), len(made.getvalue()), converted)
        image = area / f"layer-{next(numbers)}"
        subprocess.run(
            ["mksquashfs", "-", image, "-tar", *squashfs.FROM_TAR],
            input=converted.getvalue(), check=True, capture_output=True,
        )  # fmt: skip
        return image

    return make


def _roots(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    return info


@pytest.fixture
def base(layer: Callable[..., Path]) -> list[Path]:
    """Two layers: the upper one hides a file, a folder's old contents, and replaces another."""
    return [
        layer(
            {
                "data": FOLDER, "data/kept": Entry("kept"), "data/gone": Entry("gone"),
                "data/folder": FOLDER, "data/folder/old": Entry("old"),
                "data/replaced": FOLDER, "data/replaced/old": Entry("old"),
                "data/of-seven": Entry("seven", owner=7),
                "data/secret": Entry("secret", mode=0o600),
                "data/second": Entry(type=tarfile.LNKTYPE, target="data/kept"),
                "data/zero": Entry(type=tarfile.CHRTYPE, device=(1, 5)),  # is left out
            },
            _shell(),
        ),
        layer(
            {
                "data": FOLDER, "data/.wh.gone": Entry(),
                "data/folder": FOLDER, "data/folder/.wh..wh..opq": Entry(),
                "data/folder/new": Entry("new"),
                "data/.wh.replaced": Entry(), "data/replaced": FOLDER,
                "data/replaced/new": Entry("new"),
            }
        ),
    ]  # fmt: skip


def _shell() -> tuple[str, ...]:
    """Some programs of this machine and what they load, where they look for it."""
    found: dict[str, None] = {}
    for name in TOOLS:
        program = shutil.which(name, path="/bin:/usr/bin")
        assert program is not None
        found[f"/bin/{name}"] = None
        told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        found |= dict.fromkeys(re.findall(r"(/\S+) \(0x", told))
    return tuple(found)


@pytest.fixture
def program(layer: Callable[..., Path]) -> Path:
    """The package's own layer, whose program does what its first argument says."""
    return layer({"run": Entry('#!/bin/sh\neval "$1"\n', mode=0o755)})


@pytest.fixture
def containers(request: pytest.FixtureRequest, area: Path) -> Containers:
    runtime, who = request.param
    need(runtime)
    person: Person = request.getfixturevalue(who)
    return Containers(runtime, somebody(who, person, person))


@pytest.fixture
def show(launcher: Launcher, base: list[Path], program: Path) -> Callable[..., str]:
    """`show("ls")`: what a command prints in the package."""

    def run(command: str, before: str = "") -> str:
        done, words = start(launcher, base, program, command, before)
        assert done == 0, words
        return words

    return run


def start(
    launcher: Launcher, base: list[Path], program: Path, command: str, before: str = ""
) -> tuple[int, str]:
    images = [str(image) for image in (*base, program)]
    order = json.dumps([len(base), launcher.driver, before, *images])
    started = launcher.person.start(LAUNCH, order, command)
    out, words = started.communicate(timeout=60)
    return started.returncode, (out if started.returncode == 0 else words).decode()


def test_whiteouts_and_opaque_folders_hide_what_lies_below(show: Callable[..., str]) -> None:
    assert show("pwd; ls; ls folder replaced; cat kept second").splitlines() == [
        "/data",
        *("folder", "kept", "of-seven", "replaced", "second", "secret"),
        *("folder:", "new", "", "replaced:", "new"),
        "keptkept",
    ]


def test_the_root_is_the_images_and_the_package_lies_in_it(show: Callable[..., str]) -> None:
    seen = show(
        "ls /; echo $0 $FROM; ls /home 2>&1; test -r /proc/self/stat -a -c /dev/null && echo ok"
    )

    lines = seen.splitlines()
    assert {"bin", "data", "dev", "packages", "proc", "sys", "tmp"} <= {*lines}
    assert "/packages/any-v1/run image" in lines
    assert not {"home", "root", "usr/share"} & {*lines}
    assert lines[-1] == "ok"


def test_nothing_of_it_can_be_written_but_tmp(show: Callable[..., str]) -> None:
    seen = show(
        "for at in / /data /bin ${0%/*}; do (> $at/new) 2>&1; done; echo x > /tmp/x && cat /tmp/x"
    )

    assert seen.count("Read-only file system") == 4
    assert seen.splitlines()[-1] == "x"


def test_who_starts_it_stays_who_it_is(show: Callable[..., str], launcher: Launcher) -> None:
    mine = launcher.person.uid
    owners = show("stat -c %u of-seven kept; cat of-seven; id -u; cat secret 2>&1 || true")

    lines = owners.splitlines()
    assert lines[:2] == (["7", "0"] if mine == 0 else ["65534", "65534"])
    assert lines[2].startswith("seven")
    assert str(mine) in lines[2]
    assert ("secret" if mine == 0 else "Permission denied") in owners


@pytest.mark.root
def test_root_sees_the_same_where_its_kernel_knows_no_squashfs(
    root: Person, base: list[Path], program: Path, clean: None
) -> None:
    code, words = start(Launcher("fuse", root), base, program, "ls folder replaced; ls gone")

    assert code == 2, words
    code, words = start(Launcher("fuse", root), base, program, "ls folder replaced")
    assert words.splitlines() == ["folder:", "new", "", "replaced:", "new"]


def test_layers_are_merged_where_the_kernel_stacks_none_but_the_root_must_be_stacked(
    user: Person, base: list[Path], program: Path, clean: None
) -> None:
    refuse = (
        "import errno; from dataclasses import replace; from lamina.node import based, fuse, plan\n"
        "plan.FUSE = replace(plan.FUSE, worth=1e9)\n"
        "def refuse(layers, *_, **__): raise OSError(errno.EPERM, 'Operation not permitted')\n"
        "real, fuse.stack = fuse.stack, refuse\n"
    )

    code, words = start(Launcher("fuse", user), base, program, "ls folder replaced", refuse)

    assert words.splitlines() == ["folder:", "new", "", "replaced:", "new"], code

    refuse += "based.stack = refuse\n"
    code, words = start(Launcher("fuse", user), base, program, "ls", refuse)

    assert code == 125
    assert "can not mount the base image: Operation not permitted" in words


@pytest.mark.parametrize("containers", every(), indirect=True)
def test_a_base_image_is_the_root_of_a_container_too(
    containers: Containers, base: list[Path], program: Path, area: Path
) -> None:
    code = (
        "pwd; ls . folder; cat kept; echo; ls /; echo $0 $FROM; (> /data/new) 2>&1;"
        " echo x > /tmp/x; cat /tmp/x; ls /dev/null /home 2>&1"
    )

    ended = containers.run([*base, program], code, base=len(base))

    lines = ended.out.splitlines()
    version = containers.person.area.name
    assert ended.code == 2, ended.words  # of `ls`, as there is no `/home`
    assert lines[0] == "/data"
    assert f"/packages/any-{version}/run image" in lines
    assert {"kept", "new", "bin", "packages", "x", "/dev/null"} <= {*ended.out.split()}
    assert not {"gone", "root", "usr/share"} & {*ended.out.split()}
    assert "Read-only file system" in ended.out
    wait_for_no_container(area)


@pytest.mark.parametrize("containers", every(), indirect=True)
def test_a_base_image_can_be_writable_in_a_container(
    containers: Containers, base: list[Path], program: Path, area: Path
) -> None:
    (area / "shown").mkdir()
    code = (
        "cd /data; echo other > kept; echo > new; ls; echo x > ${0%/*}/x; cat ${0%/*}/x kept; ls /"
    )
    order = (
        f"{{'writable': mounts.Upper(None, 'package'), 'binds': (Bind('{area}/shown', '/made'),)}}"
    )

    ended = containers.run([*base, program], code, base=len(base), order=order)

    assert ended.code == 0, ended.words
    words = ended.out.split()
    assert {"new", "x", "other", "made"} <= {*words}
    wait_for_no_container(area)


def test_merged_layers_of_a_base_image_are_what_the_kernel_stacks(
    show: Callable[..., str],
) -> None:
    alone = "from dataclasses import replace; from lamina.node import plan\n"
    alone += "plan.FUSE = plan.KERNEL = replace(plan.FUSE, worth=1e9)\n"
    merged = "from lamina.node import plan; plan.FUSE = plan.KERNEL = plan.ALL_AS_ONE\n"

    one, other = (show(_LISTING, before) for before in (alone, merged))

    assert one == other
    assert "data/second" in one


_LISTING = "stat -c '%n %f %u %g %Y' /data /data/* /data/*/* /bin/*; cat /data/*/* /data/kept"
