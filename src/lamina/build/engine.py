"""Carries out a plan: looks each action up, runs what is not known, as many at once as allowed."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from lamina.build import undeclared
from lamina.build.events import Listener, Outcome
from lamina.build.plan import Plan, plan
from lamina.build.sandbox import ENVIRONMENT, Run, Sandbox
from lamina.build.sources import Sources
from lamina.core.action import Action, ActionResult, Artifact, Literal, Source, Stored
from lamina.core.digest import Digest
from lamina.core.errors import ActionError, LaminaError
from lamina.core.label import Label
from lamina.core.tree import File, Node, Tree, conflicts, place
from lamina.formats import reapi
from lamina.store import trees
from lamina.store.actioncache import ActionCache
from lamina.store.local import LocalStore

# The kernel may hand a signal to a worker thread. That does not wake the main thread, which alone
# runs signal handlers: so it never sleeps for longer than this.
_HEARTBEAT = 0.2  # seconds


@dataclass(slots=True)
class _State:
    """How far a build has come."""

    plan: Plan
    results: dict[Action, dict[str, Node]] = field(default_factory=dict)
    waiting: dict[Action, int] = field(default_factory=dict)
    ready: list[Action] = field(default_factory=list)
    errors: dict[Action, LaminaError] = field(default_factory=dict)


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
    ) -> None:
        """`owners` tells which targets have a file of the workspace, for advice on a failure."""
        self._owners = owners
        self._root = root
        self._store = store
        self._cache = ActionCache(store)
        self._sources = sources
        self._sandbox: Sandbox | None = None
        self._listener = listener
        self._jobs = jobs
        self._keep_going = keep_going
        self._show_commands = show_commands
        self._count = 0
        self.executed: set[Action] = set()  # the actions that ran, and were not just looked up

    def build(self, artifacts: Iterable[Artifact]) -> dict[Artifact, dict[str, Node]]:
        """Make the artifacts; each is a tree whose paths start at `` for a single file.

        Raises ActionError for what failed; with keep-going only after all that can be made has
        been. Whatever ends it, no action is left running.
        """
        wanted = list(dict.fromkeys(artifacts))
        state = _State(plan(wanted))
        self._listener.planned(len(state.plan.actions))
        if state.plan.actions:
            self._sandbox = self._sandbox or Sandbox(self._store)
            self._work(state, self._sandbox)
        if state.errors:
            raise _together([state.errors[a] for a in state.plan.actions if a in state.errors])
        return {artifact: self._resolve(artifact, state.results) for artifact in wanted}

    def _work(self, state: _State, sandbox: Sandbox) -> None:
        state.waiting = {action: len(state.plan.needs[action]) for action in state.plan.actions}
        state.ready = [action for action, count in state.waiting.items() if count == 0]
        running: dict[Future[Outcome], Action] = {}
        with ThreadPoolExecutor(self._jobs, "action") as pool:
            try:
                while (state.ready or running) and (self._keep_going or not state.errors):
                    self._start(state, running, pool)
                    done, _ = wait(running, _HEARTBEAT, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._finish(state, running.pop(future), future)
            except BaseException:
                sandbox.cancel()  # the pool waits for its threads, and they for their programs
                self._sandbox = None
                raise
            if running:
                sandbox.cancel()
                self._sandbox = None

    def _start(
        self, state: _State, running: dict[Future[Outcome], Action], pool: ThreadPoolExecutor
    ) -> None:
        while state.ready and len(running) < self._jobs:
            action = state.ready.pop(0)
            inputs = self._inputs(action, state.results)
            self._count += 1
            running[pool.submit(self._perform, action, inputs, f"{self._count}")] = action
            self._listener.started(action)

    def _finish(self, state: _State, action: Action, future: Future[Outcome]) -> None:
        try:
            done = future.result()
        except LaminaError as error:
            state.errors[action] = error
            if isinstance(error, UndeclaredFile):
                error.hint = _advice(error.path, action.owner, self._owners(error.path))
            self._listener.failed(action, error)
            return
        state.results[action] = done.outputs
        if not done.cached:
            self.executed.add(action)
        self._listener.finished(done)
        for dependent in state.plan.dependents[action]:
            state.waiting[dependent] -= 1
            if state.waiting[dependent] == 0:
                state.ready.append(dependent)

    def _inputs(
        self, action: Action, results: Mapping[Action, dict[str, Node]]
    ) -> list[tuple[str, dict[str, Node] | Source | Literal]]:
        """The inputs with all outputs of other actions put in; sources are read by the worker."""
        return [
            (path, item if isinstance(item, Source | Literal) else self._resolve(item, results))
            for path, item in action.inputs
        ]

    def _perform(
        self,
        action: Action,
        inputs: list[tuple[str, dict[str, Node] | Source | Literal]],
        name: str,
    ) -> Outcome:
        begun = time.monotonic()
        tree = self._tree(action, inputs)
        root, _ = trees.encode(tree)
        _, message = reapi.encode_action(action, root, ENVIRONMENT.items())
        digest = Digest.of(message)
        known = self._cache.get(digest)
        if known is not None and _is_whole(action, known):
            outputs = dict(known.outputs)
            return Outcome(action, digest, tree, outputs, True, begun, time.monotonic())
        result = self._run(action, tree, name)
        self._cache.put(digest, result)
        outputs = dict(result.outputs)
        ended = time.monotonic()
        return Outcome(action, digest, tree, outputs, False, begun, ended, result.stderr)

    def _run(self, action: Action, tree: Tree, name: str) -> ActionResult:
        assert self._sandbox is not None
        run = Run(action.arguments, dict(action.environment), tree, action.outputs, action.mounts)
        try:
            result = self._sandbox.run(run, name)
        except ActionError as error:
            raise ActionError(f"`{action.owner}`: {action}: {error.message}") from error
        if result.exit_code != 0:
            raise self._failure(action, tree, result)
        outputs = _declared(action, result)
        return ActionResult(tuple(outputs.items()), 0, result.stdout, result.stderr)

    def _tree(
        self, action: Action, inputs: list[tuple[str, dict[str, Node] | Source | Literal]]
    ) -> dict[str, Node]:
        tree: dict[str, Node] = {}
        for path, item in inputs:
            tree.update(place(path, self._local(item)))
        for file, inner in conflicts(tree):
            raise ActionError(
                f"`{action.owner}`: `{file}` is both a file and a folder of `{inner}`"
            )
        return tree

    def _local(self, item: dict[str, Node] | Source | Literal) -> dict[str, Node]:
        if isinstance(item, Source):
            found = self._sources.tree(item.path)
            prefix = len(item.path) + 1
            return {path[prefix:]: node for path, node in found.items()}
        if isinstance(item, Literal):
            return {"": File(self._store.write(item.data), item.executable)}
        return item

    def _resolve(
        self, artifact: Artifact, results: Mapping[Action, dict[str, Node]]
    ) -> dict[str, Node]:
        if isinstance(artifact, Source | Literal):
            return self._local(artifact)
        if isinstance(artifact, Stored):
            return {"": artifact.node}
        outputs = results[artifact.action]
        if artifact.path in outputs:
            return {"": outputs[artifact.path]}
        prefix = f"{artifact.path}/"
        return {
            path.removeprefix(prefix): node
            for path, node in outputs.items()
            if path.startswith(prefix)
        }

    def _failure(self, action: Action, tree: Tree, result: ActionResult) -> ActionError:
        words = (result.stdout + result.stderr).decode(errors="replace").rstrip()
        package = Label.parse(action.owner, "").package
        lines = [f"`{action.owner}`: {action} failed with exit code {result.exit_code}"]
        missing = undeclared.find(words, self._root, package, tree)
        lines += [f"it reads `{path}`, which `{action.owner}` does not declare" for path in missing]
        if self._show_commands:
            lines.append(f"command: {shlex.join(action.arguments)}")
        message = "\n".join((*lines, words)).rstrip()
        if missing:
            return UndeclaredFile(message, missing[0])
        return ActionError(message, hint="`--verbose` shows the whole command")


class UndeclaredFile(ActionError):
    """An action failed for want of a file that is there, but not among its inputs."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


def _advice(path: str, owner: str, having: Iterable[Label]) -> str:
    others = [f"`{label}`" for label in having if str(label) != owner]
    if others:
        return f"add {others[0]}, which has it, to the `deps` of `{owner}`"
    return f"declare `{path}` in `{owner}`, or depend on a target that has it"


def _is_whole(action: Action, known: ActionResult) -> bool:
    """Whether a remembered result has all outputs; an entry of the cache may be cut short."""
    try:
        _declared(action, known)
    except ActionError:
        return False
    return True


def _declared(action: Action, result: ActionResult) -> dict[str, Node]:
    """The outputs the action declared; raises ActionError for one that it did not make."""
    made = dict(result.outputs)
    found: dict[str, Node] = {}
    for output in action.outputs:
        part = {output: made[output]} if output in made else _folder(output, made)
        if not part:
            raise ActionError(
                f"`{action.owner}`: {action} succeeded but did not make `{output}`",
                hint="outputs are written below `out/`; `$@`, `$(OUTS)` and `$OUT` name them",
            )
        found.update(part)
    return found


def _folder(output: str, made: Mapping[str, Node]) -> dict[str, Node]:
    """What was made below a folder."""
    return {path: node for path, node in made.items() if path.startswith(f"{output}/")}


def _together(errors: list[LaminaError]) -> LaminaError:
    if len(errors) == 1:
        return errors[0]
    hints = {error.hint: None for error in errors if error.hint}
    message = "\n\n".join(error.message for error in errors)
    return ActionError(message, hint="; ".join(hints) or None)
