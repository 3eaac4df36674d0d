"""Carries out a plan: looks each action up, runs what is not known, as many at once as allowed."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.build import workers
from lamina.build.cellmap import NO_CELLS, Cells
from lamina.build.crew import Crew, Done
from lamina.build.events import Listener, Outcome
from lamina.build.failures import UndeclaredFile
from lamina.build.memo import Memo
from lamina.build.performer import NotThere, Performer, Task
from lamina.build.plan import Plan, plan
from lamina.build.race import Lost, Races, Side, Undecided
from lamina.build.sources import Sources
from lamina.core.action import Action, Artifact, Literal, Source, Stored
from lamina.core.classes import dataclass, field, replace
from lamina.core.digest import Digest
from lamina.core.errors import ActionError, IntegrityError, LaminaError
from lamina.core.label import Label
from lamina.core.tree import File, Node, place
from lamina.store.local import LocalStore

if TYPE_CHECKING:
    from lamina.build.remote import Remote

# The kernel may hand a signal to a worker thread. That does not wake the main thread, which alone
# runs signal handlers: so it never sleeps for longer than this.
_HEARTBEAT = 0.2  # seconds

_Inputs = list[tuple[str, "dict[str, Node] | Source | Literal"]]


@dataclass(slots=True)
class _State:
    """How far a build has come."""

    plan: Plan
    waiting: dict[Action, int] = field(default_factory=dict)
    ready: list[tuple[int, int, Action]] = field(default_factory=list)  # a heap: most urgent first
    small: list[tuple[int, int, Action]] = field(default_factory=list)  # for resident programs
    residents: bool = True  # whether there are any
    unasked: list[tuple[int, int, Action]] = field(default_factory=list)  # of the build farm
    asks: bool = False  # whether there is one
    tasks: dict[Action, Task] = field(default_factory=dict)  # that the farm does not do
    races: Races = field(default_factory=lambda: Races(None))
    rank: dict[Action, tuple[int, int]] = field(default_factory=dict)
    errors: dict[Action, LaminaError] = field(default_factory=dict)

    def push(self, action: Action) -> None:
        """What all of whose inputs are there may run."""
        queue = self.small if self.residents and workers.knows(action) else self.ready
        if self.asks and action not in self.tasks:
            queue = self.unasked
        heapq.heappush(queue, (*self.rank[action], action))


class Engine:
    """Makes artifacts, in a sandbox, with everything it learns kept in the store."""

    def __init__(
        self,
        root: Path,
        store: LocalStore,
        sources: Sources,
        listener: Listener,
        *,
        jobs: int,
        keep_going: bool = False,
        show_commands: bool = False,
        owners: Callable[[str], Iterable[Label]] = lambda _path: (),
        cells: Cells = NO_CELLS,
        known: Memo | None = None,
        dry: bool = False,
        remote: Remote | None = None,
    ) -> None:
        """`owners` tells which targets have a file of the workspace, for advice on a failure.

        `known` is what an earlier build found out. With `dry` nothing runs: what would, fails by
        the error NotRun. `remote` is a build farm that is asked before anything runs here.
        """
        self._dry = dry
        self._remote = remote
        self._owners = owners
        self._cells = cells
        self._root = root
        self._store = store
        self._sources = sources
        self._listener = listener
        self._jobs = jobs
        self._keep_going = keep_going
        self._show_commands = show_commands
        self._known = known or Memo()
        self._trusting = True
        self._literals: dict[bytes, Digest] = {}
        self.memo = Memo()  # what this build found out
        self.results: dict[Action, dict[str, Node]] = {}  # of every action that was asked for
        self.used: dict[Action, tuple[str, ...]] = {}  # inputs read, where an action tells them
        self.executed: set[Action] = set()  # the actions that ran, and were not just looked up

    def remember(self, known: Memo) -> None:
        """Take up what an earlier build found out."""
        if self._trusting:
            self._known = known

    def forget(self) -> None:
        """Know nothing any more, and believe no memory: the store has lost some of what it had."""
        self._trusting = False
        self._known, self.memo = Memo(), Memo()
        self._literals.clear()
        self.results.clear()
        self.used.clear()
        self._sources.forget()
        self._store.forget()
        if self._remote is not None:
            self._remote.distrust()

    def build(self, artifacts: Iterable[Artifact]) -> dict[Artifact, dict[str, Node]]:
        """Make the artifacts; each is a tree whose paths start at `` for a single file.

        Raises ActionError for what failed; with keep-going only after all that can be made has
        been; IntegrityError where the store has lost what was known. Whatever ends it, no action
        is left running.
        """
        wanted = list(dict.fromkeys(artifacts))
        state = _State(plan(wanted, self.results), residents=not self._dry)
        state.asks = self._remote is not None and self._remote.is_used
        self._listener.planned(len(state.plan.actions))
        if state.plan.actions:
            self._work(state)
        if state.errors:
            raise _together([state.errors[a] for a in state.plan.actions if a in state.errors])
        return {artifact: self._resolve(artifact) for artifact in wanted}

    def _work(self, state: _State) -> None:
        state.rank = _ranks(state.plan)
        state.waiting = {action: len(state.plan.needs[action]) for action in state.plan.actions}
        for action in state.plan.actions:
            if state.waiting[action] == 0:
                state.push(action)
        performer = Performer(
            self,
            self._root,
            self._store,
            self._known,
            show_commands=self._show_commands,
            dry=self._dry,
            remote=self._remote,
        )
        questions = self._remote.jobs if self._remote is not None and state.asks else 0
        if self._remote is not None and state.asks:
            state.races = Races(self._remote.race_delay)
        with Crew(performer, self._jobs, questions) as crew:
            # Whoever has lost a race is not waited for: the end of the crew ends them.
            while crew.at_work > state.races.losers or state.ready or state.small or state.unasked:
                self._start(state, crew, performer)
                if state.errors and not self._keep_going:
                    break
                if crew.is_busy:
                    for done in crew.wait(state.races.seconds(_HEARTBEAT)):
                        self._finish(state, done)
                    performer.settle()
        self.used |= performer.used
        self.memo.outputs |= performer.memo.outputs
        self.memo.used |= performer.memo.used

    def _start(self, state: _State, crew: Crew, performer: Performer) -> None:
        """Let all begin that may."""
        while state.unasked and crew.may_ask:
            self._ask(state, crew, performer)
        while state.ready and crew.free > 0:
            action = heapq.heappop(state.ready)[2]
            if (task := state.tasks.get(action)) is not None:
                crew.run(action, partial(performer.run, _begun(task)))
                continue
            inputs = self._inputs(action)
            # Handing over to a thread takes longer than this.
            if (outcome := self._recall(action, inputs, performer)) is not None:
                self._take(state, outcome)
                continue
            crew.run(action, partial(self._perform, performer, action, inputs))
            self._listener.started(action)
        while state.small and crew.has_room(state.small[0][2]):
            self._hand(state, crew, performer)
        if state.ready or state.small:
            state.races.give_way()
        while crew.free > 0 and (slow := state.races.next(state.rank)) is not None:
            self._join(state.races, slow, crew, performer)

    def _ask(self, state: _State, crew: Crew, performer: Performer) -> None:
        """Let the build farm be asked for the next action, unless it is known."""
        action = heapq.heappop(state.unasked)[2]
        inputs = self._inputs(action)
        if (outcome := self._recall(action, inputs, performer)) is not None:
            self._take(state, outcome)
            return
        race = state.races.enter(action)
        crew.ask(action, lambda: performer.ask(action, self._tree(inputs), race))
        self._listener.started(action)

    def _join(self, races: Races, action: Action, crew: Crew, performer: Performer) -> None:
        """Let an action that runs in the build farm run here too."""
        race = races.get(action)
        assert race is not None
        if (task := race.begin()) is not None:
            crew.run(action, partial(performer.compete, _begun(task), race))

    def _hand(self, state: _State, crew: Crew, performer: Performer) -> None:
        """Hand the next action to a resident program, unless it is known."""
        action, begun = heapq.heappop(state.small)[2], time.monotonic()
        if (task := state.tasks.get(action)) is not None:
            self._hand_over(_begun(task), crew, performer)
            return
        inputs = self._inputs(action)
        if (outcome := self._recall(action, inputs, performer)) is not None:
            self._take(state, outcome)
            return
        self._listener.started(action)
        try:
            found = performer.look_up(action, self._tree(inputs), begun)
        except IntegrityError:
            raise
        except LaminaError as error:
            self._fail(state, action, error)
            return
        if isinstance(found, Outcome):
            self._take(state, found)
        else:
            self._hand_over(found, crew, performer)

    def _hand_over(self, task: Task, crew: Crew, performer: Performer) -> None:
        if (files := performer.wanted(task)) is not None:
            crew.hand(task, files)
        else:
            crew.run(task.action, partial(performer.run, task))

    def _recall(self, action: Action, inputs: _Inputs, performer: Performer) -> Outcome | None:
        if not self._known.outputs:
            return None
        try:
            return performer.recall(action, self._tree(inputs))
        except LaminaError:
            return None  # a worker meets the same, and tells of it

    def _perform(self, performer: Performer, action: Action, inputs: _Inputs) -> Outcome:
        return performer.perform(action, self._tree(inputs))

    def _tree(self, inputs: _Inputs) -> dict[str, Node]:
        tree: dict[str, Node] = {}
        for path, item in inputs:
            tree.update(place(path, self._local(item)))
        return tree

    def _finish(self, state: _State, done: Done) -> None:
        if state.races.get(done.action) is not None:
            self._finish_side(state, done)
            return
        try:
            outcome = done.result()
        except NotThere as here:
            state.tasks[done.action] = here.task
            state.push(done.action)
        except IntegrityError:
            raise  # no fault of the action: something that it needs is gone from the store
        except LaminaError as error:
            self._fail(state, done.action, error)
        else:
            self._take(state, outcome)

    def _finish_side(self, state: _State, done: Done) -> None:
        """The same for an action that runs, or could run, in two places."""
        action, race = done.action, state.races.get(done.action)
        assert race is not None
        side = Side.FARM if done.asked else Side.HERE
        undecided: Exception | None = None
        try:
            outcome = done.result()
            if race.claim(side):  # what was known has raced with nobody
                self._take(state, outcome)
        except NotThere as here:
            race.task = here.task
        except Lost:
            pass
        except Undecided as fault:
            undecided = fault.error
        except IntegrityError:
            if not race.is_lost(side):
                raise
        except LaminaError as error:
            if race.claim(side):
                self._fail(state, action, error)
        if race.leave(side, undecided):
            self._settle(state, action)
        state.races.drop(action)

    def _settle(self, state: _State, action: Action) -> None:
        """Nobody is at work on an action any more, and there is no result."""
        race = state.races.get(action)
        assert race is not None
        if isinstance(race.error, LaminaError) and not isinstance(race.error, IntegrityError):
            self._fail(state, action, race.error)
        elif race.error is not None:
            raise race.error
        else:
            assert race.task is not None
            state.tasks[action] = race.task
            state.push(action)

    def _fail(self, state: _State, action: Action, error: LaminaError) -> None:
        state.errors[action] = error
        if isinstance(error, UndeclaredFile):
            error.hint = _advice(error.path, action.owner, self._owners(error.path))
        self._listener.failed(action, error)

    def _take(self, state: _State, done: Outcome) -> None:
        """Keep what an action gave, and let run what has waited for it."""
        action = done.action
        self.results[action] = done.outputs
        if not done.cached:
            self.executed.add(action)
        self._listener.finished(done)
        for dependent in state.plan.dependents[action]:
            state.waiting[dependent] -= 1
            if state.waiting[dependent] == 0:
                state.push(dependent)

    def _inputs(self, action: Action) -> _Inputs:
        """The inputs with all outputs of other actions put in; sources are read by the worker."""
        return [
            (path, item if isinstance(item, Source | Literal) else self._resolve(item))
            for path, item in action.inputs
        ]

    def locate(self, path: str) -> str:
        """Where on the disk a path from the root of the workspace is."""
        return f"{self._root}/{self._cells.disk_path(path)}"

    def folder(self, owner: str) -> str:
        """The folder of the build package of a target."""
        label = Label.parse(owner, "")
        return self._cells.folder(label.cell, label.package)

    def _local(self, item: dict[str, Node] | Source | Literal) -> dict[str, Node]:
        if isinstance(item, Source):
            found = self._sources.tree(item.path)
            prefix = len(item.path) + 1
            return {path[prefix:]: node for path, node in found.items()}
        if isinstance(item, Literal):
            digest = self._literals.get(item.data)
            if digest is None:
                digest = self._literals[item.data] = self._store.hold(item.data)
            return {"": File(digest, item.executable)}
        return item

    def _resolve(self, artifact: Artifact) -> dict[str, Node]:
        if isinstance(artifact, Source | Literal):
            return self._local(artifact)
        if isinstance(artifact, Stored):
            return {"": artifact.node}
        outputs = self.results[artifact.action]
        if artifact.path in outputs:
            return {"": outputs[artifact.path]}
        prefix = f"{artifact.path}/"
        return {
            path.removeprefix(prefix): node
            for path, node in outputs.items()
            if path.startswith(prefix)
        }


def _ranks(plan: Plan) -> dict[Action, tuple[int, int]]:
    """What is at the bottom of the longest chain runs first, else in the plan's order."""
    height: dict[Action, int] = {}
    for action in reversed(plan.actions):
        height[action] = 1 + max((height[above] for above in plan.dependents[action]), default=0)
    return {action: (-height[action], number) for number, action in enumerate(plan.actions)}


def _begun(task: Task) -> Task:
    """What the build farm does not do begins when it begins here."""
    return replace(task, begun=time.monotonic())


def _advice(path: str, owner: str, having: Iterable[Label]) -> str:
    others = [f"`{label}`" for label in having if str(label) != owner]
    if others:
        return f"add {others[0]}, which has it, to the `deps` of `{owner}`"
    return f"declare `{path}` in `{owner}`, or depend on a target that has it"


def _together(errors: list[LaminaError]) -> LaminaError:
    if len(errors) == 1:
        return errors[0]
    hints = {error.hint: None for error in errors if error.hint}
    message = "\n\n".join(error.message for error in errors)
    return ActionError(message, hint="; ".join(hints) or None, parts=tuple(errors))
