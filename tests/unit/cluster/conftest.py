"""A cluster of Kubernetes, small or real, and the launcher that is told of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import kubernetes
from tests.cluster.kubernetes import Lab

_KINDS = ["small", "real"] if kubernetes.REAL in os.environ else ["small"]


@pytest.fixture(scope="session", params=_KINDS)
def shared_lab(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("kubernetes")
    with {"small": kubernetes.small, "real": kubernetes.real}[request.param](folder) as lab:
        yield lab


@pytest.fixture
def lab(shared_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A cluster, which is the one that kubectl's settings name."""
    monkeypatch.setenv("KUBECONFIG", str(shared_lab.settings(tmp_path)))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return shared_lab


@pytest.fixture
def small_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A cluster of its own behind the small server, for what no real one does on demand."""
    with kubernetes.small(tmp_path) as lab:
        monkeypatch.setenv("KUBECONFIG", str(lab.settings(tmp_path)))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        yield lab
