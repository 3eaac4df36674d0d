"""Both mount drivers keep the same promises to the program that is started on their mounts."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import LAUNCH, Launcher, Person, leftovers, processes, wait_for_nothing

Image = Callable[..., Path]
SHELL = ('#!/bin/sh\neval "$1"\n', 0o755)
BLOCKED = "echo ready; read line"


@pytest.fixture
def shell(image: Image) -> Path:
    """An image whose program does what its first argument says."""
    return image({"run": SHELL})


def test_names_contents_modes_and_symlinks_are_those_of_the_tree(
    launcher: Launcher, image: Image, shell: Path
) -> None:
    long = "ü" * 127 + "x"  # 255 bytes
    files = image(
        {"grüße/☃ snow": "cold", long: "long", "tool": ("#!/bin/sh\n", 0o555), "to": Path("tool")}
    )

    seen = launcher.output(
        [shell, files], "cd ${0%/*}; cat gr*/*; cat ü*; stat -c %a tool; readlink to; ls | wc -l"
    )

    assert seen.split("\n") == ["coldlong555", "tool", "5", ""]


@pytest.mark.parametrize("layers", [1, 8, 128])
def test_the_upper_layer_wins_whatever_their_number(
    launcher: Launcher, image: Image, layers: int
) -> None:
    kept = layers if layers < 128 else 3  # many layers are a few files many times: made quickly
    made = [image({"run": SHELL, "same": f"{n}", f"only-{n}": ""}) for n in range(kept)]
    images = [made[n % (kept - 1 or 1)] for n in range(layers - 1)] + [made[-1]]

    seen = launcher.output(images, "cat ${0%/*}/same; ls ${0%/*} | wc -l")

    assert seen == f"{kept - 1}{kept + 2}\n"


def test_the_package_and_the_root_are_read_only_and_the_rest_is_as_outside(
    launcher: Launcher, shell: Path, area: Path
) -> None:
    seen = launcher.output(
        [shell, shell],
        "for at in ${0%/*} /packages /; do touch $at/new 2>&1 | grep -c Read-only; done; "
        f"pwd; echo written > {area}/written; ls -d /usr /proc/self",
    )

    assert seen.split() == ["1", "1", "1", str(area), "/proc/self", "/usr"]
    assert (area / "written").read_text() == "written\n"


def test_the_program_is_the_process_that_was_started(launcher: Launcher, shell: Path) -> None:
    started = launcher.start([shell], "echo $$")

    assert started.communicate()[0] == f"{started.pid}\n".encode()


def test_exit_codes_pass_through(launcher: Launcher, shell: Path) -> None:
    assert launcher.start([shell], "exit 7").wait(30) == 7


def test_signals_pass_through(launcher: Launcher, shell: Path) -> None:
    assert launcher.start([shell], "kill -TERM $$").wait(30) == -signal.SIGTERM


def test_a_broken_pipe_ends_the_program_as_from_a_shell(launcher: Launcher, shell: Path) -> None:
    seen = launcher.output([shell], "grep SigIgn /proc/self/status")

    assert int(seen.split()[1], 16) & (1 << signal.SIGPIPE - 1) == 0


def test_standard_input_and_output_pass_through(launcher: Launcher, shell: Path) -> None:
    started = launcher.start([shell], "cat; echo bad >&2", stdin=-1)

    out, words = started.communicate(b"from outside", timeout=30)

    assert (out, words) == (b"from outside", b"bad\n")


def test_the_program_runs_as_its_caller_without_new_capabilities(
    launcher: Launcher, shell: Path
) -> None:
    seen = launcher.output([shell], "id -u; grep CapEff /proc/self/status").split()

    assert seen[0] == str(launcher.person.uid)
    if launcher.person.uid:
        assert int(seen[2], 16) == 0


def test_the_environment_names_the_package(launcher: Launcher, shell: Path) -> None:
    seen = launcher.output([shell], "echo $LAMINA_PACKAGE $LAMINA_VERSION $OWN")

    assert seen == "/packages/any-v1 v1 1\n"


def test_the_program_has_no_children_that_it_did_not_start(launcher: Launcher, shell: Path) -> None:
    seen = launcher.output([shell], 'read all < /proc/$$/task/$$/children; echo "[$all]"')

    assert seen == "[]\n"


def test_only_standard_files_are_open_in_the_program(launcher: Launcher, shell: Path) -> None:
    seen = launcher.output([shell], "echo /proc/$$/fd/*")

    numbers = {int(path.rpartition("/")[2]) for path in seen.split()}
    assert numbers <= {0, 1, 2, 3, 10}  # 3: the folder just listed; 10: dash's own script


def test_a_process_that_outlives_the_program_still_reads_its_files(
    launcher: Launcher, shell: Path, image: Image, area: Path
) -> None:
    late = image({"late": "still here"})
    started = launcher.start(
        [shell, late],
        f"(read go < {area}/go; cat ${{0%/*}}/late > {area}/seen) > /dev/null 2>&1 &",
        before=f"import os; os.path.exists('{area}/go') or os.mkfifo('{area}/go')",
    )
    assert started.wait(30) == 0

    (area / "go").write_text("now\n")

    wait_for_nothing(area)
    assert (area / "seen").read_text() == "still here"


RENAME = """
Package.title = property(lambda package: "inner-v1")
"""


def test_a_package_started_by_a_package_sees_both(
    launcher: Launcher, shell: Path, image: Image
) -> None:
    outer = image({"run": ('#!/bin/sh\nexec "$@"\n', 0o755)})
    order = launcher.order([shell], before="from lamina.core.manifest import Package" + RENAME)

    seen = launcher.output([outer], launcher.person.python, "-c", LAUNCH, order, "ls /packages")

    assert seen == "any-v1\ninner-v1\n"


def test_nothing_is_left_after_the_program_is_killed(
    launcher: Launcher, shell: Path, area: Path
) -> None:
    started = launcher.start([shell, shell], BLOCKED, stdin=-1)
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"

    started.kill()

    assert started.wait(30) == -signal.SIGKILL
    wait_for_nothing(area)


@pytest.mark.parametrize("milliseconds", [0, 20, 40, 50, 60, 70, 80, 100])
def test_nothing_is_left_after_lamina_is_killed_at_any_instant(
    launcher: Launcher, shell: Path, area: Path, milliseconds: int
) -> None:
    timer = (
        "import os, signal, threading; "
        f"os.fork() or (__import__('time').sleep({milliseconds / 1000}), "
        "os.kill(os.getppid(), signal.SIGKILL), os._exit(0))"
    )

    started = launcher.start([shell] * 8, BLOCKED, stdin=-1, before=timer)

    assert started.wait(30) == -signal.SIGKILL
    wait_for_nothing(area)


ALONE = """
from dataclasses import replace
from lamina.node import plan
plan.FUSE = plan.KERNEL = replace(plan.FUSE, worth=1e9, most=500)
"""


@pytest.mark.parametrize("launcher", ["fuse"], indirect=True)
def test_nothing_is_left_after_the_keeper_is_killed(
    launcher: Launcher, shell: Path, area: Path
) -> None:
    started = launcher.start([shell, shell], BLOCKED + "; cat $0", stdin=-1, before=ALONE)
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"
    servers = [int(each.split(":")[0]) for each in processes("squashfuse_ll") if area.name in each]
    keepers = {_parent(pid) for pid in servers}
    assert len(servers) == 2
    assert len(keepers) == 1

    os.kill(keepers.pop(), signal.SIGKILL)
    _wait_until_gone(servers)
    out, words = started.communicate(b"go on\n", timeout=30)

    assert out == b""
    assert b"not connected" in words
    wait_for_nothing(area)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _wait_until_gone(pids: list[int]) -> None:
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        assert select.select([descriptor], [], [], 10)[0]
        os.close(descriptor)


def test_a_second_launch_at_the_same_time_is_apart(launcher: Launcher, image: Image) -> None:
    one = image({"run": SHELL, "who": "one"})
    two = image({"run": SHELL, "who": "two"})
    first = launcher.start([one], "read line; cat ${0%/*}/who", stdin=-1)

    assert launcher.output([two], "cat ${0%/*}/who") == "two"
    assert first.communicate(b"\n", timeout=30)[0] == b"one"


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (b"no image", "not a XAR file"),
        (b"hsqs" + bytes(92), "version 0.0"),
        (None, "can not open the image"),
    ],
    ids=["text", "empty superblock", "absent"],
)
def test_a_faulty_image_is_named(
    launcher: Launcher, shell: Path, area: Path, fault: bytes | None, complaint: str
) -> None:
    faulty = area / "faulty.xar"
    if fault is not None:
        faulty.write_bytes(fault)

    started = launcher.start([shell, faulty], "true")
    words = started.communicate(timeout=30)[1].decode()

    assert started.returncode == 125
    assert complaint in words
    assert f"`{faulty}`" in words


def test_an_image_cut_short_is_named(launcher: Launcher, shell: Path, area: Path) -> None:
    cut = area / "cut.xar"
    cut.write_bytes(shell.read_bytes()[: 4096 + 96])

    started = launcher.start([shell, cut], "true")
    words = started.communicate(timeout=30)[1].decode()

    assert started.returncode == 125
    assert f"`{cut}`" in words


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"other": ""}, "the package has no such file"),
        ({"run": "#!/bin/sh\n"}, "permission denied"),
        ({"run": ("#!/no/interpreter\n", 0o755)}, "interpreter in its first line"),
    ],
)
def test_a_program_that_can_not_run_says_why(
    launcher: Launcher, image: Image, files: dict[str, str], complaint: str
) -> None:
    started = launcher.start([image(files)])
    words = started.communicate(timeout=30)[1].decode()

    assert started.returncode == 125
    assert words.startswith("error: can not run `/packages/any-v1/run`")
    assert complaint in words


def test_more_layers_than_the_kernel_stacks_are_merged(
    launcher: Launcher, shell: Path, image: Image
) -> None:
    few = [image({f"only-{n}": "", "same": f"{n}"}) for n in range(7)]

    seen = launcher.output([shell, *few * 100, few[3]], "cat ${0%/*}/same; ls ${0%/*} | wc -l")

    assert seen == "39\n"


def test_layers_that_can_not_be_merged_are_mounted_alone_as_far_as_that_goes(
    launcher: Launcher, shell: Path, image: Image
) -> None:
    images = [shell, *[image({"same": "1"}), image({"same": "2"})] * 15]

    assert launcher.output(images, "cat ${0%/*}/same", before=FULL) == "2"

    started = launcher.start([*images, *images * 20], "true", before=FULL)
    words = started.communicate(timeout=60)[1].decode()
    assert started.returncode == 125
    assert "651 layers are too many to mount" in words
    assert "hint: let the store be writable" in words


FULL = """
import errno
from lamina.node import merge
def fail(*args, **options): raise OSError(errno.ENOSPC, "No space left on device")
merge.merged = fail
"""


def test_a_package_without_an_entry_point_says_so(launcher: Launcher, shell: Path) -> None:
    started = launcher.start([shell], entry_point=())

    assert b"has no entry point" in started.communicate(timeout=30)[1]


OLD_KERNEL = """
import errno
from lamina.node import stack
def refuse(*args, **options): raise OSError(errno.%s, "as an older kernel")
stack._by_descriptors = refuse
"""


@pytest.mark.parametrize("code", ["EINVAL", "EOPNOTSUPP"])
def test_layers_are_stacked_by_name_where_the_kernel_takes_no_descriptors(
    launcher: Launcher, image: Image, shell: Path, code: str
) -> None:
    images = [shell, *(image({"same": str(n)}) for n in range(3)), *[shell] * 60]

    assert launcher.output(images, "cat ${0%/*}/same", before=OLD_KERNEL % code) == "2"


NO_USER_OVERLAY = """
import errno
from dataclasses import replace
from lamina.node import fuse, plan
plan.FUSE = replace(plan.FUSE, worth=1e9)
def refuse(layers, upper, *, user): raise OSError(errno.EPERM, "as an older kernel")
fuse.stack = refuse
"""


@pytest.mark.parametrize("launcher", ["fuse"], indirect=True)
def test_layers_are_merged_where_the_kernel_refuses(
    launcher: Launcher, image: Image, shell: Path, area: Path
) -> None:
    images = [shell, image({"same": "lower"}), image({"same": "upper"})]

    assert launcher.output(images, "cat ${0%/*}/same", before=NO_USER_OVERLAY) == "upper"
    assert (
        launcher.output(images, "cat ${0%/*}/same", before=NO_USER_OVERLAY + NO_MERGING) == "upper"
    )


NO_MERGING = """
from lamina.node import merge
def make(*args, **options): raise AssertionError(args)
merge._make = make
"""


@pytest.mark.parametrize("launcher", ["fuse"], indirect=True)
def test_a_faulty_image_is_named_where_the_kernel_refuses_to_stack(
    launcher: Launcher, shell: Path, area: Path
) -> None:
    cut = area / "cut.xar"
    cut.write_bytes(shell.read_bytes()[: 4096 + 96])

    started = launcher.start([shell, cut], before=NO_USER_OVERLAY)

    assert f"`{cut}`" in started.communicate(timeout=30)[1].decode()
    assert started.returncode == 125


@pytest.mark.parametrize("milliseconds", [40, 60, 70, 80, 90, 100, 120])
@pytest.mark.parametrize("launcher", ["fuse"], indirect=True)
def test_nothing_is_left_after_lamina_is_killed_while_it_merges(
    launcher: Launcher, shell: Path, area: Path, milliseconds: int
) -> None:
    timer = (
        "import os, signal; "
        f"os.fork() or (__import__('time').sleep({milliseconds / 1000}), "
        "os.kill(os.getppid(), signal.SIGKILL), os._exit(0))"
    )

    started = launcher.start([shell] * 8, BLOCKED, stdin=-1, before=timer + NO_USER_OVERLAY)

    assert started.wait(30) == -signal.SIGKILL
    wait_for_nothing(area)
    assert launcher.output([shell] * 8, "echo ok", before=NO_USER_OVERLAY) == "ok\n"


LISTING = r"""
cd ${0%/*}
find . -printf '%P %y %m %U:%G %l\n' | sort
find . -type f -exec sha1sum {} + | sort
"""


@pytest.mark.root
def test_what_is_merged_is_what_the_kernel_shows_as_a_stack(
    root: Person, image: Image, shell: Path, clean: None
) -> None:
    images = [
        shell,
        image({"a": "1", "d/x": "low", "to": Path("d"), "file": "", "tree/of/files": "1"}),
        image({"a": ("2", 0o755), "d/y": ("high", 0o600), "to/x": "real", "file/in": "folder"}),
        image({"a": ("3", 0o555), "d/y": Path("/etc"), "tree": Path("d")}),
    ]

    stacked = Launcher("kernel", root).output(images, LISTING)

    assert Launcher("fuse", root).output(images, LISTING, before=NO_USER_OVERLAY) == stacked
    assert "to/x f 644 0:0" in stacked


def test_this_machine_is_clean_while_tests_look_at_it(area: Path) -> None:
    assert leftovers(area) == []


@pytest.mark.root
@pytest.mark.parametrize("launcher", ["kernel"], indirect=True)
def test_two_jobs_share_the_mounts_of_their_layers(
    launcher: Launcher, shell: Path, image: Image, area: Path
) -> None:
    images = [shell, image({"same": "1"})]
    first = launcher.start(images, BLOCKED, stdin=-1)
    assert first.stdout is not None
    assert first.stdout.readline() == b"ready\n"

    # One super block each: the devices of the two files are two, though both run.
    seen = launcher.output(images, "cat /sys/block/loop*/loop/backing_file")

    assert sum(area.name in line for line in seen.splitlines()) == 2
    first.communicate(b"\n", timeout=30)
    assert launcher.output(images, "cat ${0%/*}/same") == "1"
