"""The conformance files of Starlark are read and judged as they are meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import conformance
from bench.conformance import Chunk, Result

TEXT = """\
assert_eq(1 + 1, 2)
---
assert_eq([1], [2])
---
fail("no way") ### no .ay
---
fail("other") ### no .ay
---
x = 1 ### it fails
---
y = z
"""


def results(text: str) -> list[Result]:
    return [conformance.run(chunk).result for chunk in conformance.chunks("x.star", text)]


def test_chunks_know_their_lines_and_what_is_expected_of_them() -> None:
    found = list(conformance.chunks("x.star", TEXT))

    assert [chunk.line for chunk in found] == [1, 3, 5, 7, 9, 11]
    assert [chunk.expected for chunk in found] == [
        [], [], ["no .ay"], ["no .ay"], ["it fails"], [],
    ]  # fmt: skip


def test_each_chunk_is_judged() -> None:
    good, words, bad = Result.PASSED, Result.WORDED, Result.FAILED

    assert results(TEXT) == [good, bad, good, words, bad, bad]


def test_chunks_see_what_bzl_files_see() -> None:
    text = 'assert_eq(json.indent("[1]"), "[\\n\\t1\\n]")\nassert_(native.genrule, "no rules")\n'

    assert results(text) == [Result.PASSED]


def test_an_interpreter_that_ends_fails_its_chunk_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "evaluate", lambda _chunk: __import__("os")._exit(11))

    outcome = conformance.run(Chunk("x.star", 1, "x = 1"))

    assert (outcome.result, outcome.reason) == (Result.FAILED, "the interpreter ended with 11")


def test_a_folder_is_run_and_its_failures_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.star").write_text(TEXT)

    assert conformance.main([str(tmp_path)]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert "  a.star:3: `[1]` is not `[2]`" in lines
    assert "  a.star:9: no error, but `it fails` is expected" in lines
    assert lines[-1] == ("6 chunks: 2 passed, 1 passed but for the words of the error, 3 failed")


def test_a_folder_without_such_files_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        conformance.main([str(tmp_path)])

    assert f"no file `*.star` in or below `{tmp_path}`" in capsys.readouterr().err
