"""What tests of single modules share: no resident program of a build outlives its test."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def dismissed() -> Iterator[None]:
    """End what waits for the next build in this process, as a command does at its end."""
    yield
    if "lamina.build.workers" in sys.modules:
        from lamina.build import workers

        workers.dismiss()
