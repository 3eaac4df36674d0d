"""What attempts say of a test, and how that is put."""

from __future__ import annotations

import pytest

from lamina.build.testing.results import Attempt, Result, explain, summary


def result(*runs: str, cached: bool = False) -> Result:
    """A result of runs, whose attempts are parted by `/`; `-` is a pass."""
    attempts = [
        tuple(Attempt("" if word == "-" else word, 0.25, cached) for word in run.split("/"))
        for run in runs
    ]
    return Result("//a:x", tuple(attempts))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (result("-"), "PASSED in 0.2 s"),
        (result("-", cached=True), "(cached) PASSED in 0.2 s"),
        (result("exit 1"), "FAILED in 0.2 s: exit code 1"),
        (result("exit 1/timeout/-"), "FLAKY, failed 2 of 3 in 0.2 s"),
        (result("timeout"), "TIMEOUT in 0.2 s: it took longer than it may"),
        (result("timeout", "exit 1", "-"),
         "FAILED in 2 of 3 runs in 0.2 s: it took longer than it may, exit code 1"),
        (result(), "NOT BUILT"),
    ],
)  # fmt: skip
def test_a_result_in_words(found: Result, words: str) -> None:
    assert found.words() == words


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("exit 7", "exit code 7"),
        ("signal 11", "killed by SIGSEGV"),
        ("signal 99", "killed by signal 99"),
        ("premature", "it ended before all of its test cases had run"),
    ],
)
def test_a_failure_is_explained(failure: str, words: str) -> None:
    assert explain(failure) == words


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([], "Executed 0 of 0 tests"),
        ([result("-")], "Executed 1 of 1 test: 1 passes"),
        ([result("-", cached=True)], "Executed 0 of 1 test: 1 passes"),
        ([result("-"), result("-/-"), result("exit 1"), result()],
         "Executed 3 of 4 tests: 2 pass, 1 fails, 1 is not built"),
    ],
)  # fmt: skip
def test_all_results_are_summed_up(found: list[Result], words: str) -> None:
    assert summary(found) == words
