"""Devices by the Container Device Interface."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lamina.core.container import Bind, Device
from lamina.core.errors import IntegrityError, UserError
from lamina.formats import cdi

SPEC = {
    "cdiVersion": "0.6.0",
    "kind": "vendor.com/gpu",
    "containerEdits": {
        "env": ["LIBRARY=/usr/lib/gpu"],
        "deviceNodes": [{"path": "/dev/gpuctl"}],
        "hooks": [{"hookName": "createContainer", "path": "/bin/true"}],
    },
    "devices": [
        {
            "name": "0",
            "containerEdits": {
                "deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/gpu-a"}],
                "mounts": [
                    {"hostPath": "/usr/lib/gpu", "containerPath": "/usr/lib/gpu", "options": ["ro"]}
                ],
            },
        },
        {"name": "all", "containerEdits": {}},
    ],
}


def test_a_device_brings_what_its_file_says(tmp_path: Path) -> None:
    (tmp_path / "gpu.json").write_text(json.dumps(SPEC))

    found = cdi.find(["vendor.com/gpu=0", "vendor.com/gpu=all"], [tmp_path, tmp_path / "none"])

    assert found.devices == (
        Device("/dev/gpuctl", "/dev/gpuctl"),
        Device("/dev/gpu-a", "/dev/gpu0"),
    )
    assert found.binds == (Bind("/usr/lib/gpu", "/usr/lib/gpu", True),)
    assert found.environment == (("LIBRARY", "/usr/lib/gpu"),)


def test_an_unknown_device_is_told_with_those_that_are_known(tmp_path: Path) -> None:
    (tmp_path / "gpu.json").write_text(json.dumps(SPEC))

    with pytest.raises(UserError, match=r"tells of a device `vendor\.com/gpu=7`") as caught:
        cdi.find(["vendor.com/gpu=7"], [tmp_path])

    assert caught.value.hint == "known: `vendor.com/gpu=0`, `vendor.com/gpu=all`"


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "nonsense",
        '{"kind": "a/b", "devices": [{}]}',
        '{"kind": "a/b", "devices": [{"name": "x", "containerEdits":'
        ' {"deviceNodes": [{"path": "/etc/shadow"}]}}]}',
        '{"kind": "a/b", "devices": [{"name": "x", "containerEdits":'
        ' {"mounts": [{"hostPath": "/a", "containerPath": "/b/../c"}]}}]}',
        '{"kind": "a/b", "devices": [{"name": "x", "containerEdits": {"env": ["novalue"]}}]}',
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)

    with pytest.raises(IntegrityError, match=r"bad\.json.*: not a specification of CDI"):
        cdi.find(["a/b=x"], [tmp_path])


def test_names_are_told_from_nodes() -> None:
    assert cdi.is_name("nvidia.com/gpu=0")
    assert not cdi.is_name("/dev/fuse")
