"""What people write on the command line of a container, in the forms that Docker knows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core import container
from lamina.core.container import Bind, Device, Rlimit, Tmpfs
from lamina.core.errors import UserError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512m", 512 << 20),
        ("2g", 2 << 30),
        ("1.5G", 3 << 29),
        ("100MiB", 100 << 20),
        ("1024", 1024),
    ],
)
def test_sizes_are_powers_of_1024(text: str, size: int) -> None:
    assert container.parse_size(text, "--memory") == size


@given(st.integers(1, 1 << 60))
def test_a_number_of_bytes_is_itself(size: int) -> None:
    assert container.parse_size(str(size), "--memory") == container.parse_size(f"{size}b", "-m")
    assert container.parse_size(str(size), "--memory") == pytest.approx(size, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("type=bind,src=/a,dst=/b", Bind("/a", "/b")),
        ("type=bind,source=/a,target=/b/,readonly", Bind("/a", "/b", True)),
        ("src=/a,dst=/b,ro=true", Bind("/a", "/b", True)),
        ("type=tmpfs,destination=/c,tmpfs-size=1m,tmpfs-mode=700", Tmpfs("/c", 1 << 20, 0o700)),
    ],
)
def test_mounts_are_written_as_for_docker(text: str, found: Bind | Tmpfs) -> None:
    assert container.parse_mount(text) == found


def test_other_words_for_the_same() -> None:
    assert container.parse_volume("/a:/b:ro") == Bind("/a", "/b", True)
    assert container.parse_volume("/a") == Bind("/a", "/a")
    assert container.parse_tmpfs("/c:size=1m,mode=755,nosuid") == Tmpfs("/c", 1 << 20, 0o755)
    assert container.parse_device("/dev/fuse") == Device("/dev/fuse", "/dev/fuse")
    assert container.parse_device("/dev/sda:/dev/disk:r") == Device("/dev/sda", "/dev/disk")
    assert container.parse_device("/dev/kvm:rw") == Device("/dev/kvm", "/dev/kvm")
    assert container.parse_ulimit("nofile=1024:4096") == Rlimit("nofile", 1024, 4096)
    assert container.parse_ulimit("core=-1") == Rlimit("core", -1, -1)
    assert container.parse_ulimit("stack=8:unlimited") == Rlimit("stack", 8, -1)


@pytest.mark.parametrize(
    ("parse", "text", "complaint"),
    [
        (container.parse_mount, "type=volume,src=a,dst=/b", "knows no type `volume`"),
        (container.parse_mount, "type=bind,src=a,dst=/b", "needs an absolute path as its source"),
        (container.parse_mount, "type=bind,src=/a,dst=/b,shared", "no key is called `shared`"),
        (container.parse_mount, "type=tmpfs,dst=/../c", "not an absolute path"),
        (container.parse_mount, "type=tmpfs,dst=/proc/sys", "can not be covered"),
        (container.parse_volume, "/a:/b:rx", "neither `ro` nor `rw`"),
        (container.parse_tmpfs, "/c:exec", "only `size=` and `mode=`"),
        (container.parse_tmpfs, "/c:mode=999", "not a mode"),
        (container.parse_device, "/etc/passwd", "not a device"),
        (container.parse_device, "/dev/../etc/passwd", "not a device"),
        (container.parse_device, "/dev/null:/etc/null", "below `/dev/`"),
        (container.parse_ulimit, "files=1", "no limit is called `files`"),
        (container.parse_ulimit, "nofile=9:1", "the first not above the second"),
        (container.parse_ulimit, "nofile=-1:1", "the first not above the second"),
        (container.parse_ulimit, "nofile=x", "a number, or two"),
        (container.parse_memory, "1m", "too little to start anything"),
        (container.parse_memory, "much", "a size such as `512m`"),
        (container.parse_cpus, "nan", "a number from 0.01"),
        (container.parse_hostname, "a b", "not a host name"),
    ],
)
def test_what_is_wrong_is_told(parse: Callable[[str], object], text: str, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(text)

    assert complaint in caught.value.message
