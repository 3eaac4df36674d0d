"""Reports: what frameworks wrote is kept, and what they did not is added."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.build.testing.junit import Report, merged

GOOGLE = b"""<testsuites><testsuite name="Sum">
<testcase name="One" status="run" time="0.5s" classname="Sum"/>
<testcase name="Off" status="notrun" time="0" classname="Sum"/>
<testcase name="Two" status="run" time="1" classname="Sum"><failure message="no"/></testcase>
</testsuite></testsuites>"""


def suite(*reports: Report) -> ElementTree.Element:
    found = ElementTree.fromstring(merged(reports)).find("testsuite")
    assert found is not None
    return found


def test_the_cases_of_a_framework_are_counted() -> None:
    found = suite(Report("//a:x", "exit code 1", 2.0, GOOGLE, "log"))

    counts = [found.get(key) for key in ("name", "tests", "failures", "errors", "skipped", "time")]
    assert counts == ["//a:x", "3", "1", "0", "1", "1.500"]


@pytest.mark.parametrize("xml", [b"", b"<testsuites><broken"])
def test_a_test_without_a_report_is_one_case(xml: bytes) -> None:
    found = suite(Report("//a:x", "killed by SIGSEGV", 0.5, xml, "last words"))

    case = found[0]
    assert (case.get("name"), case.get("time")) == ("x", "0.500")
    assert (case[0].tag, case[0].get("message"), case[0].text) == (
        "error", "killed by SIGSEGV", "last words",
    )  # fmt: skip


def test_a_failure_that_no_case_tells_of_is_one_more_case() -> None:
    passed = b"<testsuite><testcase name='a'/></testsuite>"

    found = suite(Report("//a:x", "exit code 1", 0.5, passed, ""))

    assert [case.get("name") for case in found] == ["a", "x"]


def test_shards_are_one_suite() -> None:
    shard = b"<testsuite><testcase name='a'/></testsuite>"

    found = suite(Report("//a:x", "", 1, shard, ""), Report("//a:x", "", 1, shard, ""))

    assert found.get("tests") == "2"


@given(st.text(), st.text())
def test_every_log_gives_a_report_that_can_be_read(log: str, failure: str) -> None:
    log, failure = (text.encode(errors="replace").decode() for text in (log, failure))

    assert len(suite(Report("//a:x", failure and "f", 1, b"", log))) == 1
