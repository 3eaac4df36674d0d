"""Who does the actions of a build: threads that run one each, and resident programs.

Python runs one thread at a time, and handing over to another costs more than the work on a small
action. So resident programs are served by the one thread that leads the build: it hands over
several actions to each, and takes what they answer.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType

from lamina.build.events import Outcome
from lamina.build.performer import Performer, Task
from lamina.build.workers import BROKEN, Answer, Files, Worker, Workers
from lamina.core.action import Action
from lamina.core.classes import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """An action that was worked on; `result` raises what went wrong."""

    action: Action
    result: Callable[[], Outcome]
    asked: bool = False  # it was the build farm that was to give it


class Crew:
    """At most `jobs` at work at once. A context: whoever is still at work at its end is ended.

    Threads that ask a build farm mostly wait, so there may be far more of them: `questions`.
    """

    def __init__(self, performer: Performer, jobs: int, questions: int = 0) -> None:
        self._performer = performer
        self._jobs = jobs
        self._questions = questions
        self._pool = ThreadPoolExecutor(jobs, "action")
        self._askers = ThreadPoolExecutor(questions, "farm") if questions else None
        self._workers = Workers(performer.resident, jobs)
        self._handed: dict[Action, Task] = {}  # to resident programs
        self._running = 0  # in threads
        self._asking = 0  # in those that ask a build farm
        self._ended: queue.SimpleQueue[Done] = queue.SimpleQueue()
        # A byte comes out for each thread that has done.
        self._bell, self._ring = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._workers.end(keep=error is None)
        if error is not None or self._running or self._asking:
            self._performer.cancel()
        # Threads are waited for, and they wait for their programs.
        self._pool.shutdown(cancel_futures=True)
        if self._askers is not None:
            self._askers.shutdown(cancel_futures=True)
        self._performer.close()
        os.close(self._bell)
        os.close(self._ring)

    @property
    def free(self) -> int:
        """How many more may be at work."""
        return self._jobs - self._running - len(self._workers.at_work)

    @property
    def is_busy(self) -> bool:
        """Whether anything is being done."""
        return self.at_work > 0

    @property
    def at_work(self) -> int:
        """How many actions are being done, or asked for."""
        return self._running + self._asking + len(self._handed)

    @property
    def may_ask(self) -> bool:
        """Whether one more may ask the build farm."""
        return self._asking < self._questions

    def ask(self, action: Action, work: Callable[[], Outcome]) -> None:
        """Let a thread ask the build farm for what an action gives."""
        assert self._askers is not None
        self._asking += 1
        future = self._askers.submit(work)
        future.add_done_callback(partial(self._tell, action, True))

    def run(self, action: Action, work: Callable[[], Outcome]) -> None:
        """Let a thread do an action."""
        self._running += 1
        future = self._pool.submit(work)
        future.add_done_callback(partial(self._tell, action, False))

    def has_room(self, action: Action) -> bool:
        """Whether an action may be handed to a resident program now."""
        return self.free > 0 or self._workers.least_busy(action) is not None

    def hand(self, task: Task, files: Files) -> None:
        """Hand an action to a resident program, for which there is room."""
        worker = self._workers.take(task.action, more=self.free > 0)
        self._handed[task.action] = task
        try:
            worker.send(task.action, files)
        except OSError:
            self._replace(worker)

    def wait(self, seconds: float) -> list[Done]:
        """What has been done since, after waiting for it for some time if nothing has."""
        waiting = select.poll()
        waiting.register(self._bell, select.POLLIN)
        workers = {}
        for worker in self._workers.at_work:
            workers[worker.stdout] = worker
            waiting.register(worker.stdout, select.POLLIN)
            if worker.is_sending:
                workers[worker.stdin] = worker
                waiting.register(worker.stdin, select.POLLOUT)
        ready = {descriptor for descriptor, _ in waiting.poll(seconds * 1000)}
        found = self._ended_threads() if self._bell in ready else []
        for worker in dict.fromkeys(workers[each] for each in ready if each in workers):
            found += self._answers(worker, ready)
        for worker in self._workers.at_work:
            if worker.is_stuck:
                self._replace(worker)
        return found

    def _ended_threads(self) -> list[Done]:
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell, 1 << 12)
        found = []
        while not self._ended.empty():
            found.append(self._ended.get())
        asked = sum(done.asked for done in found)
        self._asking -= asked
        self._running -= len(found) - asked
        return found

    def _tell(self, action: Action, asked: bool, future: Future[Outcome]) -> None:
        self._ended.put(Done(action, future.result, asked))
        with contextlib.suppress(BlockingIOError):  # it is full: who waits has been woken
            os.write(self._ring, b"\0")

    def _answers(self, worker: Worker, ready: set[int]) -> list[Done]:
        try:
            if worker.stdin in ready:
                worker.flush()
            answers = worker.answers() if worker.stdout in ready else []
        except BROKEN:
            self._replace(worker)
            return []
        return [Done(action, partial(self._answered, action, answer)) for action, answer in answers]

    def _answered(self, action: Action, answer: Answer) -> Outcome:
        return self._performer.answered(self._handed.pop(action), answer)

    def _replace(self, worker: Worker) -> None:
        """Let threads do what a resident program that is broken has left."""
        for action in self._workers.drop(worker):
            task = self._handed.pop(action)
            self.run(action, partial(self._performer.run, task))
