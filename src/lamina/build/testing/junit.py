"""JUnit's XML, as CI servers read it: what frameworks write, brought into one form.

A test target is a `testsuite` with its label; the test cases of all its shards and runs are in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lamina.core.classes import dataclass

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_BAD = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LAST = 16_000  # characters of a log that are shown in a report


@dataclass(frozen=True, slots=True)
class Report:
    """One attempt at a test."""

    label: str
    failure: str  # for people; "" where it passed
    seconds: float
    xml: bytes  # as the framework wrote it, if it did
    log: str


def merged(reports: Iterable[Report]) -> bytes:
    """One document of all."""
    from xml.etree import ElementTree

    root = ElementTree.Element("testsuites")
    suites: dict[str, Element] = {}
    for report in reports:
        suite = suites.get(report.label)
        if suite is None:
            suite = suites[report.label] = ElementTree.SubElement(root, "testsuite")
            suite.set("name", report.label)
        suite.extend(cases(report))
    for suite in suites.values():
        _count(suite)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def cases(report: Report) -> list[Element]:
    """The test cases of an attempt; one that stands for the whole where there are no others."""
    found = _parsed(report.xml)
    told = any(case.find(kind) is not None for case in found for kind in ("failure", "error"))
    if not found or (report.failure and not told):
        found.append(_whole(report))
    return found


def _whole(report: Report) -> Element:
    """The attempt as one test case."""
    from xml.etree import ElementTree

    name = report.label.rpartition(":")[2]
    attributes = {"classname": report.label, "name": name, "time": f"{report.seconds:.3f}"}
    case = ElementTree.Element("testcase", attributes)
    if report.failure:
        failure = ElementTree.SubElement(case, "error", {"message": report.failure})
        failure.text = _BAD.sub("?", report.log[-_LAST:])
    return case


def _parsed(xml: bytes) -> list[Element]:
    """The test cases in what a framework wrote; none where that is broken off."""
    from xml.etree import ElementTree

    if not xml.strip():
        return []
    try:
        found = list(ElementTree.fromstring(xml).iter("testcase"))
    except ElementTree.ParseError:
        return []
    for case in found:
        # GoogleTest's word for a case that is switched off.
        if case.get("status") == "notrun" and case.find("skipped") is None:
            ElementTree.SubElement(case, "skipped")
    return found


def _count(suite: Element) -> None:
    counted = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    seconds = 0.0
    for case in suite:
        counted["tests"] += 1
        for kind, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            counted[key] += case.find(kind) is not None
        seconds += _number(case.get("time", "0"))
    suite.attrib.update({key: str(count) for key, count in counted.items()})
    suite.set("time", f"{seconds:.3f}")


def _number(text: str) -> float:
    try:
        return float(text.removesuffix("s"))
    except ValueError:
        return 0.0
