"""The choice of a mount driver: the rule, without a machine."""

from __future__ import annotations

import pytest

from lamina.core.errors import UserError
from lamina.linux import drivers


@pytest.mark.parametrize(
    ("wanted", "root", "missing", "driver"),
    [
        (None, True, [], "kernel"),
        (None, True, ["squashfs"], "fuse"),
        (None, False, [], "fuse"),
        ("fuse", True, [], "fuse"),
        ("kernel", False, ["squashfs"], "kernel"),
    ],
)
def test_the_driver_is_the_one_asked_for_or_the_best_there_is(
    wanted: str | None, root: bool, missing: list[str], driver: str
) -> None:
    assert drivers.decide(wanted, root=root, missing=missing).driver == driver


def test_the_reason_names_what_the_kernel_lacks() -> None:
    choice = drivers.decide(None, root=True, missing=["loop devices", "squashfs"])

    assert choice.reason == "this kernel has no loop devices, squashfs"


def test_an_unknown_driver_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="no mount driver is called `zfs`") as caught:
        drivers.choose("zfs")

    assert caught.value.hint == "one of: `kernel`, `fuse`"


def test_a_file_system_of_this_kernel_is_known_and_an_invented_one_is_not() -> None:
    assert drivers.has_file_system("tmpfs")
    assert not drivers.has_file_system("nosuchfs")
