"""unittest.main with sharding, filtering and a report; copied beside `python_runner`."""

from __future__ import annotations

import os
import sys
import time
import unittest

from lamina_testing import chosen, may_be_empty, shard  # type: ignore[import-not-found]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def run(modules: list[str]) -> int:
    """Run the tests in modules, or those that the arguments name; the exit code."""
    arguments = sys.argv[1:]
    words = [] if any(not word.startswith("-") for word in arguments) else modules
    program = Program(module=None, argv=[sys.argv[0], *arguments, *words], exit=False)
    result = program.result
    if not (result.testsRun or result.skipped or result.errors or may_be_empty()):
        sys.stderr.write("there is no test in " + ", ".join(modules) + "\n")
        return 1
    return 0 if result.wasSuccessful() else 1


class Result(unittest.TextTestResult):
    """Takes down how each case went."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cases: list[tuple[str, str, float, str, str]] = []
        self._begun = time.time()
        self._told = False

    def startTest(self, test: Any) -> None:  # noqa: N802 - unittest's name
        super().startTest(test)
        self._begun = time.time()
        self._told = False

    def stopTest(self, test: Any) -> None:  # noqa: N802
        if not self._told:  # its subtests failed, and were told of
            self._tell(test, "passed", "")
        super().stopTest(test)

    def addSuccess(self, test: Any) -> None:  # noqa: N802
        super().addSuccess(test)
        self._tell(test, "passed", "")

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._tell(test, "failure", self.failures[-1][1])

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self._tell(test, "error", self.errors[-1][1])

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self._tell(test, "skipped", reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        self._tell(test, "passed", "")

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self._tell(test, "failure", "it passed, and was expected to fail")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            words = (self.failures if failed else self.errors)[-1][1]
            self._tell(subtest, "failure" if failed else "error", words)

    def _tell(self, test: Any, outcome: str, words: str) -> None:
        self._told = True
        whole = test.id()
        inner = whole.find(" (")
        owner, _, name = whole[: inner if inner >= 0 else None].rpartition(".")
        name += whole[inner:] if inner >= 0 else ""
        self.cases.append((owner, name, time.time() - self._begun, outcome, words))


class Runner(unittest.TextTestRunner):
    """Writes the report when all is done."""

    resultclass = Result

    def run(self, test: Any) -> Any:
        result = super().run(test)
        report = os.environ.get("XML_OUTPUT_FILE")
        if report and isinstance(result, Result):
            _write_report(report, result.cases)
        return result


class Program(unittest.TestProgram):
    """Takes the tests of this shard that the filter lets pass."""

    test: Any
    testRunner: Any  # noqa: N815

    def parseArgs(self, argv: list[str]) -> None:  # noqa: N802
        only = chosen()
        super().parseArgs([*argv[:1], *(["-k", only] if only else []), *argv[1:]])

    def createTests(self, *arguments: Any, **options: Any) -> None:  # noqa: N802
        super().createTests(*arguments, **options)
        index, total = shard()
        if total > 1:
            self.test = unittest.TestSuite(list(_flat(self.test))[index::total])

    def runTests(self) -> None:  # noqa: N802
        if self.testRunner is None:
            self.testRunner = Runner
        try:
            super().runTests()
        except SystemExit as end:
            if end.code == 5 and may_be_empty():  # there was no test
                raise SystemExit(0) from None
            raise


def _flat(tests: Any) -> Iterator[Any]:
    for test in tests:
        if hasattr(test, "__iter__"):
            yield from _flat(test)
        else:
            yield test


def _write_report(path: str, cases: list[tuple[str, str, float, str, str]]) -> None:
    from xml.etree import ElementTree

    suite = ElementTree.Element("testsuite")
    for owner, name, seconds, outcome, words in cases:
        attributes = {"classname": owner, "name": name, "time": f"{seconds:.3f}"}
        case = ElementTree.SubElement(suite, "testcase", attributes)
        if outcome == "skipped":
            ElementTree.SubElement(case, "skipped", {"message": _legal(words)})
        elif outcome != "passed":
            text = _legal(words)
            last = text.strip().rpartition("\n")[2]
            ElementTree.SubElement(case, outcome, {"message": last}).text = text
    counted: dict[str, int] = {"tests": len(cases), "failures": 0, "errors": 0, "skipped": 0}
    for outcome, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        counted[key] = sum(case[3] == outcome for case in cases)
    suite.attrib.update({"name": "unittest", **{key: str(n) for key, n in counted.items()}})
    suite.set("time", f"{sum(case[2] for case in cases):.3f}")
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def _legal(text: str) -> str:
    """What may stand in XML 1.0."""
    return "".join(c if c >= " " or c in "\n\t" else "?" for c in text)
