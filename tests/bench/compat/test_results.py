"""What is read from lamina's own words, and the table that is made of it."""

from __future__ import annotations

from bench.compat import results
from bench.compat.results import Row

MESSAGES = """\
error: x/BUILD:1:1: no rule or function `f`
1 target left out: `@rules_go` is not here
24 targets left out: no rules for protocol buffers
"""


def test_a_build_report_tells_what_was_built() -> None:
    report = {
        "results": {
            "//:a": {"success": "SUCCESS", "outputs": {}},
            "//:b": {"success": "FAIL", "outputs": {}},
        }
    }

    assert results.built(report) == (1, ("//:b",))


def test_what_is_left_out_is_counted_by_reason() -> None:
    assert results.left_out(MESSAGES) == (
        (1, "`@rules_go` is not here"),
        (24, "no rules for protocol buffers"),
    )


def test_tests_are_counted_by_how_they_ended() -> None:
    ends = {"//:a": "PASSED", "//:b": "FAILED", "//:c": "PASSED"}
    document = {"tests": [{"label": label, "status": end} for label, end in ends.items()]}

    assert results.tested(document) == ({"PASSED": 2, "FAILED": 1}, ("//:b",))


def test_the_table_has_a_line_for_each_and_the_reasons_below() -> None:
    good = Row("a", "1.0", targets=3, built=3, tests={"PASSED": 2})
    bad = Row(
        "long-name", "2", targets=9, built=4, failed=("//:f",), not_passed=("//:t",),
        left_out=((4, "no rules for Java"),), tests={"PASSED": 1, "FAILED": 1},
    )  # fmt: skip

    assert results.table([good, bad]).splitlines() == [
        "| repository | version | targets | built | failed | left out | tests | passed |",
        "| ---------- | ------- | ------- | ----- | ------ | -------- | ----- | ------ |",
        "| a          | 1.0     | 3       | 3     | 0      | 0        | 2     | 2      |",
        "| long-name  | 2       | 9       | 4     | 1      | 4        | 2     | 1      |",
        "",
        "long-name: 4 left out: no rules for Java",
        "long-name: not built: //:f",
        "long-name: not passed: //:t",
    ]
    assert good.good
    assert not bad.good


def test_faults_in_build_files_and_an_early_end_are_not_good() -> None:
    assert not Row("a", "1", left_out=((1, "faults in BUILD files"),)).good
    assert not Row("a", "1", ended="stopped after 60 s").good
    assert Row("a", "1", left_out=((1, "`@npm` is not here"),)).good
