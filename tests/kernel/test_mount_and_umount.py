"""`lamina mount`: stays until `lamina umount`, for root and for an ordinary user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from .conftest import Person, leftovers, processes

Image = Callable[..., Path]

COMMON = """
import json, os, sys
from pathlib import Path
from lamina.core.errors import LaminaError
from lamina.core.manifest import Package
from lamina.node import visible
images, at = [Path(each) for each in json.loads(sys.argv[1])], sys.argv[2]
package = Package(sys.argv[3], "v1", "//:any", ())
def tell(call):
    try:
        call()
    except LaminaError as error:
        print(f"{error.message} | {error.hint}")
"""
MOUNT = COMMON + "print(visible.mount(package, images, Path(at) if at else None))"
UMOUNT = COMMON + "visible.umount(at)"
LIST = COMMON + "print([str(each) for each in visible.mounted()])"


@pytest.fixture(params=[pytest.param("root", marks=pytest.mark.root), "user"])
def person(request: pytest.FixtureRequest, area: Path, clean: None) -> Iterator[Person]:
    found: Person = request.getfixturevalue(request.param)
    runtime = area / "runtime"
    runtime.mkdir(mode=0o777)
    runtime.chmod(0o777)
    yield replace(found, environment={**found.environment, "XDG_RUNTIME_DIR": str(runtime)})


@pytest.fixture
def title(area: Path) -> str:
    return area.name  # of its own: root's mounts lie in one place for all


@pytest.fixture
def images(image: Image) -> list[Path]:
    return [image({"same": "lower", "low": ""}), image({"same": "upper"})]


def say(person: Person, code: str, title: str, images: list[Path], at: object = "") -> str:
    return person.run(code, json.dumps([str(each) for each in images]), str(at), title).strip()


@pytest.mark.parametrize("layers", [1, 2, 9])
def test_what_is_mounted_stays_until_it_is_unmounted(
    person: Person, title: str, image: Image, area: Path, layers: int
) -> None:
    made = [image({"same": str(n), f"only-{n}": ""}) for n in range(layers)]

    where = Path(say(person, MOUNT, title, made))
    seen = person.run("import os, sys; print(sorted(os.listdir(sys.argv[1])))", str(where))
    same = person.run("import sys; print(open(sys.argv[1] + '/same').read())", str(where))
    say(person, UMOUNT, title, [], where)

    assert seen.strip() == str(sorted([*(f"only-{n}" for n in range(layers)), "same"]))
    assert same.strip() == str(layers - 1)
    assert not where.exists()
    assert say(person, LIST, title, []).count(title) == 0


def test_a_mount_is_ended_by_its_title_too(
    person: Person, title: str, images: list[Path], area: Path
) -> None:
    where = say(person, MOUNT, title, images)
    say(person, UMOUNT, title, [], f"{title}-v1")

    assert where not in say(person, LIST, title, [])


def test_a_chosen_folder_is_kept_and_one_made_for_it_goes(
    person: Person, title: str, images: list[Path], area: Path
) -> None:
    kept = area / "kept, with: signs"
    person.run("import os, sys; os.mkdir(sys.argv[1])", str(kept))

    for where in (kept, area / "made"):
        assert say(person, MOUNT, title, images, where) == str(where)
        say(person, UMOUNT, title, [], where)

    assert list(kept.iterdir()) == []
    assert not (area / "made").exists()


def test_mounting_again_changes_nothing(
    person: Person, title: str, images: list[Path], area: Path
) -> None:
    where = say(person, MOUNT, title, images)
    before = leftovers(area)

    assert say(person, MOUNT, title, images) == where
    assert leftovers(area) == before
    say(person, UMOUNT, title, [], where)


def test_another_package_is_not_mounted_over_it(
    person: Person, title: str, images: list[Path], area: Path
) -> None:
    where = say(person, MOUNT, title, images, area / "at")
    words = say(person, COMMON + "tell(lambda: visible.mount(package, images, Path(at)))",
                title, images[:1], where)  # fmt: skip
    say(person, UMOUNT, title, [], where)

    assert words == f"`{title}-v1` is mounted at `{where}` | `lamina umount {where}`"


def test_a_folder_with_files_is_not_covered(
    person: Person, title: str, images: list[Path], area: Path
) -> None:
    words = say(person, COMMON + "tell(lambda: visible.mount(package, images, Path(at)))",
                title, images, area)  # fmt: skip

    assert words == f"`{area}` is not empty | choose an empty or absent folder"


def test_a_busy_mount_is_an_error_and_stays(
    person: Person, title: str, images: list[Path], area: Path
) -> None:
    where = say(person, MOUNT, title, images)
    words = say(person, COMMON + "os.chdir(at); tell(lambda: visible.umount(at)); os.stat('low')",
                title, [], where)  # fmt: skip
    say(person, UMOUNT, title, [], where)

    assert words.startswith(f"can not unmount `{where}`: a process still uses it | see which")


def test_what_else_is_in_the_way_is_told_in_the_words_of_fusermount3(
    person: Person, title: str, area: Path
) -> None:
    code = "from lamina.linux import fuse; tell(lambda: fuse.unmount(Path(at)))"
    words = say(person, COMMON + code, title, [], area)

    assert words.startswith(f"can not unmount `{area}`: ")
    assert "fusermount3: " in words
    assert words.endswith("| None")


def test_what_is_not_mounted_can_not_be_unmounted(person: Person, title: str, area: Path) -> None:
    words = say(person, COMMON + "tell(lambda: visible.umount(at))", title, [], area)

    assert words.startswith(f"nothing of lamina's is mounted at `{area}`")


def test_a_faulty_image_leaves_nothing(
    person: Person, title: str, images: list[Path], area: Path
) -> None:
    faulty = area / "faulty.xar"
    faulty.write_bytes(images[0].read_bytes()[: 4096 + 96])

    words = say(person, COMMON + "tell(lambda: visible.mount(package, images, None))",
                title, [*images, faulty])  # fmt: skip

    assert "faulty.xar" in words
    assert leftovers(area) == []


@pytest.mark.parametrize("milliseconds", [0, 2, 4, 6, 8, 12, 16])
def test_what_a_kill_left_half_way_is_undone_by_umount_or_by_the_next_mount(
    person: Person, title: str, images: list[Path], area: Path, milliseconds: int
) -> None:
    code = COMMON + (
        f"import signal, time; os.fork() or (time.sleep({milliseconds / 1000}), "
        "os.kill(os.getppid(), signal.SIGKILL), os._exit(0))\n"
        "visible.mount(package, images, Path(at))"
    )
    where = area / "at"
    many = images * 4
    arguments = json.dumps([str(each) for each in many])
    person.start(code, arguments, str(where), title).wait(30)
    time.sleep(0.02)  # a fusermount3 that was just started still mounts

    assert say(person, MOUNT, title, many, where) == str(where)
    say(person, UMOUNT, title, [], where)


@pytest.mark.parametrize("person", ["user"], indirect=True)
def test_mounts_whose_servers_died_are_undone(
    person: Person, title: str, images: list[Path], area: Path
) -> None:
    where = say(person, MOUNT, title, images)
    servers = [int(each.split(":")[0]) for each in processes(area.name)]
    for pid in servers:
        os.kill(pid, 9)

    assert say(person, MOUNT, title, images) == where
    assert person.run("import os, sys; print(len(os.listdir(sys.argv[1])))", where) == "2\n"
    say(person, UMOUNT, title, [], where)


STAT = """
import json, os, sys
def show(path):
    status = os.stat(path)
    return [(status.st_dev, status.st_ino), open(path).read()]
print(json.dumps([show(f"{sys.argv[1]}/{name}") for name in sorted(os.listdir(sys.argv[1]))]))
"""


def test_files_that_have_one_number_in_several_layers_are_told_apart(
    person: Person, title: str, image: Image
) -> None:
    where = say(person, MOUNT, title, [image({f"lib{each}.so": each}) for each in "DEF"])
    seen = json.loads(person.run(STAT, where))
    say(person, UMOUNT, title, [], where)

    assert [content for _, content in seen] == ["D", "E", "F"]
    assert len({tuple(identity) for identity, _ in seen}) == 3


NO_MERGING = """
from lamina.node import merge
assert merge._make
merge._make = None
"""


@pytest.mark.parametrize("person", ["user"], indirect=True)
def test_layers_are_merged_for_the_first_mount_alone(
    person: Person, title: str, images: list[Path], area: Path
) -> None:
    where = say(person, MOUNT, title, images)
    say(person, UMOUNT, title, [], where)

    assert say(person, NO_MERGING + MOUNT, title, images) == where
    assert person.run("import sys; print(open(sys.argv[1] + '/same').read())", where) == "upper\n"
    say(person, UMOUNT, title, [], where)


@pytest.mark.parametrize("person", ["user"], indirect=True)
def test_one_server_serves_all_layers(person: Person, title: str, image: Image, area: Path) -> None:
    where = say(person, MOUNT, title, [image({f"{n}": ""}) for n in range(20)])
    servers = processes(area.name)
    say(person, UMOUNT, title, [], where)

    assert len(servers) == 1


EXAMPLE = Path(__file__).parents[2] / "examples" / "article"
CLI = "import sys; from lamina.cli.main import main; sys.exit(main())"


@pytest.mark.parametrize("person", ["user"], indirect=True)
def test_the_articles_program_runs_straight_from_its_mount(person: Person, area: Path) -> None:
    build_article(area)
    if person.uid != os.geteuid():
        subprocess.run(["chown", "-R", str(person.uid), area / "store"], check=True)

    where = person.run(CLI, "mount", "A").strip()
    printed = person.run("import subprocess, sys; subprocess.run(sys.argv[1:])", f"{where}/A")
    person.run(CLI, "umount", where)

    assert printed.splitlines() == [
        "Hello from A",
        "B calls D, D calls F: this is call 1 of F",
        "C calls E, E calls F: this is call 2 of F",
        "There is one F: D and E use one counter, at one address",
    ]


@pytest.mark.parametrize("person", ["user"], indirect=True)
def test_where_nothing_can_be_mounted_files_are_unpacked_and_a_line_tells_so(
    person: Person, area: Path
) -> None:
    build_article(area)
    if person.uid != os.geteuid():
        subprocess.run(["chown", "-R", str(person.uid), area / "store"], check=True)
    nothing = "from lamina.linux import drivers; drivers.missing_for_fuse = lambda: ['FUSE']\n"

    started = person.start(nothing + CLI, "exec", "A")
    out, words = (each.decode() for each in started.communicate(timeout=60))

    assert out.startswith("Hello from A\n"), words
    assert words.splitlines() == [
        "nothing can be mounted here, so files are unpacked: an ordinary user may not mount "
        "squashfs or attach loop devices; FUSE lacks FUSE"
    ]


def test_it_can_be_told_how_a_package_would_be_mounted(person: Person, area: Path) -> None:
    build_article(area)
    if person.uid != os.geteuid():
        subprocess.run(["chown", "-R", str(person.uid), area / "store"], check=True)

    told = person.run(CLI, "mount", "--explain", "A").splitlines()

    assert told[0].startswith("driver fuse: " if person.uid else "driver kernel: ")
    images = 1 if person.uid else 7
    assert told[1].startswith(f"package: layers: 7, images to mount: {images}, ")
    assert told[2].startswith("because ")
    assert len(told) == 3 + images
    assert leftovers(area) == []


def test_what_is_copied_is_shown_by_a_symlink(
    person: Person, title: str, images: list[Path], area: Path
) -> None:
    code = COMMON + "print(visible.mount(package, images, Path(at), driver='copy'))"
    where = area / "at"

    say(person, code, title, images, where)

    assert (where / "same").read_text() == "upper"
    assert say(person, code, title, images, where) == str(where)
    say(person, UMOUNT, title, [], where)
    assert not where.is_symlink()
    assert not where.exists()


@pytest.mark.root
def test_root_can_mount_what_can_be_written(
    root: Person, title: str, images: list[Path], area: Path, clean: None
) -> None:
    code = COMMON + (
        "from lamina.node import jobs\n"
        "print(visible.mount(package, images, Path(at), upper=jobs.chosen('tmpfs')))"
    )
    where = area / "at"

    say(root, code, title, images, where)
    (where / "new").write_text("new")
    (where / "same").unlink()

    assert sorted(path.name for path in where.iterdir()) == ["low", "new"]
    say(root, UMOUNT, title, [], where)


def build_article(area: Path) -> None:
    """Package the example in the store of this folder, as whoever runs the tests."""
    shutil.copytree(EXAMPLE, area / "article", ignore=shutil.ignore_patterns("lamina-out"))
    subprocess.run(
        [sys.executable, "-c", CLI, "package", "-q", "//:A"],
        cwd=area / "article",
        env={**os.environ, "PYTHONPATH": str(area / "src"), "LAMINA_STORE": str(area / "store")},
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize("person", ["user"], indirect=True)
def test_a_state_folder_that_others_can_write_is_refused(
    person: Person, title: str, images: list[Path], area: Path
) -> None:
    state = area / "runtime" / "lamina"
    person.run("import os, sys; os.mkdir(sys.argv[1]); os.chmod(sys.argv[1], 0o777)", str(state))

    words = say(person, COMMON + "tell(lambda: visible.mount(package, images, None))",
                title, images)  # fmt: skip

    assert words.startswith(f"`{state}` is not a folder that only you can change")


@pytest.mark.root
def test_roots_mounts_hold_no_loop_device_after_umount(
    root: Person, title: str, images: list[Path], area: Path, clean: None
) -> None:
    where = say(root, MOUNT, title, images)
    attached = subprocess.run(["losetup", "--list"], capture_output=True, text=True).stdout
    say(root, UMOUNT, title, [], where)

    assert attached.count(area.name) == 2
