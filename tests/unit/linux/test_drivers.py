"""The choice of a mount driver: the rule, without a machine."""

from __future__ import annotations

import pytest

from lamina.core.errors import UserError
from lamina.linux import drivers


@pytest.mark.parametrize(
    ("wanted", "root", "missing", "driver"),
    [
        (None, True, {}, "kernel"),
        (None, True, {"kernel": ["squashfs"]}, "fuse"),
        (None, False, {}, "fuse"),
        (None, True, {"kernel": ["squashfs"], "fuse": ["`/dev/fuse`"]}, "copy"),
        (None, False, {"fuse": ["user namespaces"]}, "copy"),
        ("fuse", True, {}, "fuse"),
        ("kernel", False, {"kernel": ["squashfs"]}, "kernel"),
        ("btrfs", False, {}, "btrfs"),
    ],
)
def test_the_driver_is_the_one_asked_for_or_the_best_there_is(
    wanted: str | None, root: bool, missing: dict[str, list[str]], driver: str
) -> None:
    assert drivers.decide(wanted, root=root, missing=missing).driver == driver


def test_the_reason_names_what_the_kernel_lacks() -> None:
    missing = {"kernel": ["loop devices", "squashfs"]}
    choice = drivers.decide(None, root=True, missing=missing)

    assert choice.reason == "this machine lacks loop devices, squashfs"

    missing["fuse"] = ["`/dev/fuse`", "`squashfuse_ll`"]
    choice = drivers.decide(None, root=True, missing=missing)

    assert choice.reason.endswith("squashfs; FUSE lacks `/dev/fuse`, `squashfuse_ll`")


def test_an_unknown_driver_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="no mount driver is called `zfs`") as caught:
        drivers.choose("zfs")

    assert caught.value.hint == "one of: `kernel`, `fuse`, `btrfs`, `copy`"


def test_a_file_system_of_this_kernel_is_known_and_an_invented_one_is_not() -> None:
    assert drivers.has_file_system("tmpfs")
    assert not drivers.has_file_system("nosuchfs")
