"""What became of tests: single attempts, and what they say of a test together."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from lamina.core.classes import dataclass

PASSED, FLAKY, TIMEOUT, FAILED, NOT_BUILT = "PASSED", "FLAKY", "TIMEOUT", "FAILED", "NOT BUILT"

_REASONS = {
    "timeout": "it took longer than it may",
    "premature": "it ended before all of its test cases had run",
    "unsharded": "it does not split its test cases, as `shard_count` asks for",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one run of a test, or of one shard of it, went."""

    failure: str  # as `run.sh` writes it: "" for a pass, `exit 1`, `signal 11`, `timeout` …
    seconds: float
    cached: bool
    log: str = ""  # paths from the root of the workspace
    xml: str = ""

    @property
    def reason(self) -> str:
        """Why it failed, for people."""
        return explain(self.failure)


def explain(failure: str) -> str:
    """Why an attempt failed: `exit code 1`."""
    word, _, number = failure.partition(" ")
    if word == "exit":
        return f"exit code {number}"
    if word == "signal":
        known = int(number) in set(signal.Signals)
        return f"killed by {signal.Signals(int(number)).name if known else failure}"
    return _REASONS.get(failure, failure)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a test: the attempts of each of its shards and runs, in their order."""

    label: str
    runs: tuple[tuple[Attempt, ...], ...]  # none: it could not be built

    @property
    def status(self) -> str:
        """One word for all."""
        if not self.runs:
            return NOT_BUILT
        failures = [attempts[-1].failure for attempts in self.runs if attempts[-1].failure]
        if failures:
            return TIMEOUT if set(failures) == {"timeout"} else FAILED
        return FLAKY if any(len(attempts) > 1 for attempts in self.runs) else PASSED

    @property
    def passed(self) -> bool:
        """Whether it is good enough."""
        return self.status in (PASSED, FLAKY)

    @property
    def cached(self) -> bool:
        """Whether nothing had to run."""
        return bool(self.runs) and all(each.cached for each in self.attempts)

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts."""
        return [attempt for attempts in self.runs for attempt in attempts]

    @property
    def seconds(self) -> float:
        """The time of the attempt that took longest."""
        return max((attempt.seconds for attempt in self.attempts), default=0.0)

    @property
    def failed(self) -> list[Attempt]:
        """The attempts that failed for good."""
        return [attempts[-1] for attempts in self.runs if attempts[-1].failure]

    def words(self) -> str:
        """`(cached) PASSED in 0.3 s`, `FAILED in 2 of 3 runs in 0.1 s: exit code 1`."""
        if not self.runs:
            return NOT_BUILT
        text = f"{'(cached) ' * self.cached}{self.status}"
        if self.status == FLAKY:
            bad = sum(bool(attempt.failure) for attempt in self.attempts)
            text += f", failed {bad} of {len(self.attempts)}"
        elif not self.passed and len(self.runs) > 1:
            text += f" in {len(self.failed)} of {len(self.runs)} runs"
        text += f" in {self.seconds:.1f} s"
        reasons = dict.fromkeys(attempt.reason for attempt in self.failed)
        return f"{text}: {', '.join(reasons)}" if reasons else text


def summary(results: Sequence[Result]) -> str:
    """`Executed 3 of 5 tests: 4 pass, 1 fails`."""
    ran = sum(bool(result.runs) and not result.cached for result in results)
    good = sum(result.passed for result in results)
    unbuilt = sum(not result.runs for result in results)
    bad = len(results) - good - unbuilt
    parts = [
        f"{count} {one if count == 1 else many}"
        for count, one, many in (
            (good, "passes", "pass"),
            (bad, "fails", "fail"),
            (unbuilt, "is not built", "are not built"),
        )
        if count
    ]
    noun = "test" if len(results) == 1 else "tests"
    counted = f": {', '.join(parts)}" if parts else ""
    return f"Executed {ran} of {len(results)} {noun}{counted}"
