"""Records of mounts read back; damaged ones are as none."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.node import records, state
from lamina.node.records import Mounted

RECORD = Mounted("a-1", Path("/somewhere"), (Path("/x"), Path("/y")), "kernel", made=True)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "folder", lambda: str(tmp_path))
    (tmp_path / "records").mkdir()


def test_a_record_reads_back() -> None:
    records.write(RECORD)

    assert records.every() == [RECORD]


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 200, b"{", b"[]", b"null", b'{"title": "a"}', b"[" * 100_000, b"\xff"]
)
def test_a_damaged_record_is_as_none_and_hides_no_other(tmp_path: Path, data: bytes) -> None:
    records.write(RECORD)
    (tmp_path / "records/0123.json").write_bytes(data)

    assert records.every() == [RECORD]
