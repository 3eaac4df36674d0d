"""EROFS layers: by the kernel from their files, without root as one squashfs image."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.formats import erofs
from lamina.linux import namespaces
from lamina.node import attach, kernel

from .conftest import Launcher, Person, leftovers

Image = Callable[..., Path]
Make = Callable[..., Path]
SHELL = ('#!/bin/sh\neval "$1"\n', 0o755)


@pytest.fixture
def erofs_image(image: Image, area: Path) -> Make:
    """Makes an EROFS image of a tree: it is unpacked from one that `image` makes."""

    def make(files: object, compression: str = "lz4") -> Path:
        squashfs = image(files, offset=0)
        tree = squashfs.with_suffix(".tree")
        subprocess.run(["unsquashfs", "-quiet", "-d", tree, squashfs], check=True, stdout=-3)
        made = squashfs.with_suffix(".erofs")
        words = erofs.options("ab" * 16, compression)
        subprocess.run(["mkfs.erofs", *words, made, tree], check=True, capture_output=True)
        made.chmod(0o644)
        return made

    return make


@pytest.mark.parametrize("compression", ["lz4", "none"])
def test_erofs_layers_run_by_both_drivers(
    launcher: Launcher, erofs_image: Make, compression: str
) -> None:
    run = erofs_image({"run": SHELL, "same": "lower", "to": Path("same")}, compression)
    upper = erofs_image({"same": "upper", "deep/er": "x" * 100_000}, compression)

    seen = launcher.output([run, upper], "cd ${0%/*}; cat to; wc -c < deep/er; stat -c %a run")

    assert seen.split() == ["upper100000", "755"]


def test_one_erofs_layer_alone_runs(launcher: Launcher, erofs_image: Make) -> None:
    assert launcher.output([erofs_image({"run": SHELL})], "echo alone") == "alone\n"


def test_layers_of_both_kinds_are_stacked(
    launcher: Launcher, image: Image, erofs_image: Make
) -> None:
    layers = [image({"run": SHELL, "same": "1"}), erofs_image({"same": "2", "only": "3"})]

    assert launcher.output(layers, "cd ${0%/*}; cat same only") == "23"


def test_what_is_made_for_another_thing_may_lie_beside_it(
    image: Image, erofs_image: Make, user: Person
) -> None:
    """Names share locks by their first digits: here all have the same."""
    layers = [image({"run": SHELL}), *(erofs_image({f"f{n}": str(n)}) for n in range(3))]
    alike = (
        "from lamina.store import derived; real = derived.key\n"
        "derived.key = lambda *words: 'ab' + real(*words)[2:]\n"
    )

    seen = Launcher("fuse", user).output(layers, "cd ${0%/*}; cat f*", before=alike)

    assert seen == "012"


@pytest.mark.root
def test_the_kernel_mounts_erofs_without_a_loop_device_where_it_can(
    root: Person, area: Path, erofs_image: Make, clean: None
) -> None:
    made = erofs_image({"run": SHELL})
    if _refuses_files(made):
        pytest.skip("this kernel mounts EROFS from block devices alone")
    code = (
        "import sys; from pathlib import Path; from lamina.linux import namespaces;"
        "from lamina.node.kernel import KernelDriver; namespaces.own_mounts();"
        "mount = KernelDriver().stack([Path(sys.argv[1])]);"
        "print(sum(sys.argv[1] in file.read_text() for file in"
        " Path('/sys/block').glob('loop*/loop/backing_file')))"
    )

    assert root.run(code, str(made)) == "0\n"


def _refuses_files(made: Path) -> bool:
    try:
        os.close(namespaces.detached("erofs", {"source": str(made), "ro": ""}, 0))
    except OSError:
        return True
    return False


@pytest.mark.root
@pytest.mark.parametrize("code", [errno.ENOTBLK, errno.EINVAL])
def test_a_kernel_that_wants_a_device_is_given_one(
    erofs_image: Make, area: Path, clean: None, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    if os.geteuid():
        pytest.skip("needs the rights of root")

    def refuse(_: int) -> int:
        raise OSError(code, "not from a file")

    monkeypatch.setattr(attach, "_from_file", refuse)

    mount = kernel._layer(erofs_image({"run": SHELL}), {})

    assert any(area.name in line for line in leftovers(area))
    names = [path.name for path in Path(f"/proc/self/fd/{mount}").iterdir()]
    os.close(mount)
    assert names == ["run"]


@pytest.mark.root
def test_a_damaged_image_is_refused_by_name(
    erofs_image: Make, area: Path, clean: None, root: Person
) -> None:
    made = erofs_image({"run": SHELL})
    data = bytearray(made.read_bytes())
    data[1024 + 80] = 0xFF  # a feature that no kernel knows
    made.write_bytes(data)
    code = (
        "import sys; from pathlib import Path; from lamina.core.errors import LaminaError\n"
        "from lamina.node.kernel import KernelDriver\n"
        "try:\n    KernelDriver().stack([Path(sys.argv[1])])\n"
        "except LaminaError as error:\n    print(error.message)\n"
    )

    assert root.run(code, str(made)).startswith(f"can not mount `{made}`: ")
