"""`xarexec`: mounts and runs XAR files as xarexec_fuse does, for root and an ordinary user."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import MAIN, Person, call, processes, wait_for_nothing

Image = Callable[..., Path]


def test_m_mounts_and_prints_the_mount_point_alone(
    person: Person, xar_file: Callable[..., Path]
) -> None:
    code, out, words = call(person, "-m", xar_file())

    where = out.removesuffix("\n")
    assert (code, words) == (0, "")
    assert person.run("import sys; print(open(sys.argv[1] + '/data').read())", where) == "inside\n"


def test_n_prints_the_same_place_and_mounts_nothing(
    person: Person, xar_file: Callable[..., Path], area: Path
) -> None:
    made = xar_file()

    _, planned, _ = call(person, "-n", made)
    _, both, _ = call(person, "-m", "-n", made)
    assert area.name not in Path("/proc/self/mountinfo").read_text()
    _, mounted, _ = call(person, "-m", made)

    assert planned == both == mounted


def test_the_place_names_uid_uuid_and_mount_namespace(
    person: Person, xar_file: Callable[..., Path], area: Path
) -> None:
    _, out, _ = call(person, "-n", xar_file())

    inode = Path("/proc/self/ns/mnt").stat().st_ino
    pattern = f"{area}/mnt/uid-{person.uid}/(ab){{32}}-seed-nspid[0-9]+(_cgpid[0-9]+)?-ns-{inode}\n"
    assert re.fullmatch(pattern, out)


def test_running_hands_over_path_and_arguments_and_tells_of_a_new_mount(
    person: Person, xar_file: Callable[..., Path]
) -> None:
    made = xar_file()

    first = call(person, made, "a b", "-m")[1].split("\n")
    second = call(person, made)[1].split("\n")

    assert first[0].endswith(f"/run {made} a b -m")
    assert re.fullmatch(r"new=1 at=[0-9]+\.[0-9]{6}", first[1])
    assert second[1].startswith("new= at=")


@pytest.mark.parametrize(
    ("script", "code"), [("exit 7\n", 7), ("kill -TERM $$\n", -signal.SIGTERM), ("false\n", 1)]
)
def test_exit_code_and_signal_are_the_scripts(
    person: Person, xar_file: Callable[..., Path], script: str, code: int
) -> None:
    assert call(person, xar_file(script))[0] == code


@pytest.mark.parametrize("compressor", ["gzip", "zstd", "xz", "lz4"])
@pytest.mark.parametrize("offset", [4096, 8192])
def test_every_compressor_and_offset_runs(
    person: Person, image: Image, area: Path, compressor: str, offset: int
) -> None:
    made = image({"run": "echo it runs\n"}, compressor=compressor, offset=offset)
    text = made.read_bytes()
    key = f'MOUNT_ROOT="{area}/mnt"\n'.encode()
    made.write_bytes(text[:offset].replace(b"#xar_stop", key + b"#xar_stop")[:offset]
                     + text[offset:])  # fmt: skip

    assert call(person, made)[:2] == (0, "it runs\n")


def test_a_dead_server_is_replaced(
    person: Person, xar_file: Callable[..., Path], area: Path
) -> None:
    made = xar_file()
    _, where, _ = call(person, "-m", made)
    for each in processes(area.name):
        os.kill(int(each.split(":")[0]), signal.SIGKILL)

    code, again, words = call(person, "-m", made)

    assert (code, again, words) == (0, where, "")
    assert call(person, made)[0] == 0


def test_many_at_once_share_one_mount(
    person: Person, xar_file: Callable[..., Path], area: Path
) -> None:
    made = xar_file("cat ${0%/*}/data\n")

    started = [person.start(MAIN, str(made)) for _ in range(8)]

    assert [each.communicate(timeout=30)[0] for each in started] == [b"inside"] * 8
    servers = [each for each in processes(area.name) if "squashfuse_ll" in each]
    assert len(servers) == 1


def test_an_idle_mount_ends_itself(
    person: Person, xar_file: Callable[..., Path], area: Path
) -> None:
    code = f"import os; os.environ['XAR_MOUNT_TIMEOUT'] = '1'; {MAIN}"
    person.run(code, "-m", str(xar_file()))

    wait_for_nothing(area)


def test_a_seed_is_part_of_the_place(person: Person, xar_file: Callable[..., Path]) -> None:
    code = f"import os; os.environ['XAR_MOUNT_SEED'] = 'mine'; {MAIN}"

    assert "-seed-mine-ns-" in person.run(code, "-n", str(xar_file()))


@pytest.mark.parametrize("args", [(), ("-x", "file"), ("-m",)])
def test_bad_usage_is_1_and_shows_the_usage(person: Person, args: tuple[str, ...]) -> None:
    code, out, words = call(person, *args)

    assert (code, out) == (1, "")
    assert words.startswith("usage: xarexec")


def test_h_shows_the_usage_and_is_0(person: Person) -> None:
    assert call(person, "-h")[0] == 0


def test_failures_are_134_with_the_reason(
    person: Person, xar_file: Callable[..., Path], area: Path
) -> None:
    (area / "text").write_text("no xar")
    rootless = xar_file(name="rootless")
    (area / "mnt").chmod(0o755)

    assert call(person, area / "text")[0] == 134
    code, _, words = call(person, "-m", rootless)

    assert code == 134
    assert f"error: the mount root `{area}/mnt` has not mode 1777" in words
    assert "if it is for XAR files alone, as root: `mkdir -p" in words


def test_a_xar_without_target_can_only_be_mounted(
    person: Person, xar_file: Callable[..., Path]
) -> None:
    made = xar_file(target="")

    assert "nothing to run" in call(person, made)[2]
    assert call(person, "-n", made)[0] == 134
    assert call(person, "-m", made)[0] == 0
