"""The table of mounts: what the kernel escapes is put back."""

from __future__ import annotations

from pathlib import Path

from lamina.linux import mountinfo

LINE = b"36 35 98:0 /mnt1 %s rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"


def test_each_line_gives_its_mount_point() -> None:
    assert mountinfo.parse(LINE % b"/mnt2" + LINE % b"/") == {Path("/mnt2"), Path("/")}


def test_blanks_tabs_newlines_and_backslashes_are_put_back() -> None:
    table = LINE % rb"/a\040b\011c\012d\134e"

    assert mountinfo.parse(table) == {Path("/a b\tc\nd\\e")}


def test_a_name_that_is_no_text_is_kept() -> None:
    (found,) = mountinfo.parse(LINE % b"/\xff")

    assert bytes(found) == b"/\xff"


def test_the_root_of_this_machine_is_mounted() -> None:
    assert Path("/proc") in mountinfo.mount_points()
