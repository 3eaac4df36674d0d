"""Where a package with a base image can be mounted at all."""

from __future__ import annotations

import pytest

from lamina.core.errors import HostError
from lamina.core.manifest import Image, Package
from lamina.node import based


def package(architecture: str) -> Package:
    image = Image(architecture=architecture)
    return Package("a/p", "1", "//a:p", (), base="//:b", base_layers=1, image=image)


def test_an_image_of_another_processor_is_told() -> None:
    with pytest.raises(HostError, match=r"is for `pdp11`, this machine is `(amd64|arm64|\w+)`"):
        based.check(package("pdp11"), "kernel")


def test_an_image_that_does_not_say_is_taken() -> None:
    based.check(package(""), "fuse")
