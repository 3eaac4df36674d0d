"""Does one action: looks for what it gave before, runs it where nothing is known.

An action that tells what it read (by a depfile) is known by that: a result stays good while those
inputs are as they were and no input came or went, whatever happens to the others. First the paths
of its inputs lead to the sets of paths it was seen to read, then the content of each set to a
result. Without the other inputs' content, but with their names, a header that comes to lie in front
of another one is noticed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.build import declared, identity, memo, workers
from lamina.build.builtins import BuiltinFailed, Builtins
from lamina.build.events import Outcome
from lamina.build.failures import Failures, Ground
from lamina.build.memo import Memo
from lamina.build.race import FETCHED, Lost, Race, Side, Undecided, is_doubtful
from lamina.build.sandbox import Cancelled, Run, Sandbox
from lamina.build.workers import Answer, Files
from lamina.core.action import Action, ActionResult
from lamina.core.cancellation import Cancellation, Ended
from lamina.core.classes import dataclass, replace
from lamina.core.digest import Digest
from lamina.core.errors import ActionError, LaminaError
from lamina.core.tree import File, Node, Tree, conflicts
from lamina.store.actioncache import ActionCache
from lamina.store.local import LocalStore

if TYPE_CHECKING:
    from lamina.build.remote import Found, Remote

_UNKNOWN = Digest.of(b"")
_SETS = 8  # of inputs that one command was seen to read, the newest first


@dataclass(frozen=True, slots=True)
class Task:
    """An action whose outputs are not known."""

    action: Action
    inputs: Tree
    begun: float
    key: memo.Key = b""
    digest: Digest = _UNKNOWN
    # Of one that tells what it reads, in place of the two above: the names of its inputs, and sets
    # of those that it was seen to read.
    names: memo.Key = b""
    sets: tuple[tuple[str, ...], ...] = ()


class NotThere(Exception):
    """The build farm does not know what an action gives, and does not run it."""

    def __init__(self, task: Task) -> None:
        super().__init__(str(task.action))
        self.task = task


class Performer:
    """Does actions for an engine, several at once in as many threads."""

    def __init__(
        self,
        ground: Ground,
        root: Path,
        store: LocalStore,
        known: Memo,
        *,
        show_commands: bool,
        dry: bool = False,
        remote: Remote | None = None,
    ) -> None:
        """A `dry` one runs nothing: what it would run, it raises as NotRun."""
        self._dry = dry
        self._remote = remote
        self._store = store
        self._cache = ActionCache(store)
        self._sandbox = Sandbox(store)
        self._builtins = Builtins(store)
        self.resident = self._sandbox.resident
        self._failures = Failures(ground, root, show_commands=show_commands)
        self._known = known
        self.memo = Memo()  # what was found out, for the next build
        self.used: dict[Action, tuple[str, ...]] = {}

    def cancel(self) -> None:
        """End all that runs; nothing can be done any more."""
        self._sandbox.cancel()
        self._builtins.cancel()
        if self._remote is not None:
            self._remote.cancel()

    def close(self) -> None:
        """Remove what is kept between actions; nothing is done any more."""
        self._sandbox.close()
        self._cache.close()

    def settle(self) -> None:
        """See to it that what was found out some time ago outlives a kill."""
        self._cache.settle()

    def recall(self, action: Action, tree: Tree) -> Outcome | None:
        """The outputs of an action that an earlier build has found out; no file is looked at."""
        begun = time.monotonic()
        if action.again or not self._known.outputs:
            return None
        if not action.depfile:
            key = memo.key(action, tree)
            outputs = self._known.outputs.get(key)
            if outputs is None:
                return None
            self.memo.outputs[key] = outputs
            return _known(action, dict(outputs), begun)
        names = memo.names_key(action, tree)
        for used in self._known.used.get(names, ()):
            key = memo.key(action, {path: tree[path] for path in used}, names)
            outputs = self._known.outputs.get(key)
            if outputs is not None:
                self._keep(action, names, used, key, outputs)
                return _known(action, dict(outputs), begun)
        return None

    def perform(self, action: Action, tree: Tree) -> Outcome:
        """Find or make the outputs of an action; raises ActionError."""
        found = self.look_up(action, tree, time.monotonic())
        return self.run(found) if isinstance(found, Task) else found

    def look_up(self, action: Action, tree: Tree, begun: float) -> Outcome | Task:
        """The outputs of an action where they are known here, else what to do."""
        if action.depfile:
            return self._look_up_narrow(action, tree, begun)
        key = memo.key(action, tree)
        _check(action, tree)
        digest = identity.digest(action, tree)
        result = None if action.again else self._find(action, digest)
        if result is None:
            return Task(action, tree, begun, key, digest)
        self.memo.outputs[key] = result.outputs
        return _known(action, dict(result.outputs), begun, digest)

    def _look_up_narrow(self, action: Action, tree: Tree, begun: float) -> Outcome | Task:
        """The same for an action that tells what it read."""
        names = memo.names_key(action, tree)
        _check(action, tree)
        for used in (more := self._cache.used(names)):
            narrow = {path: tree[path] for path in used}
            digest = identity.digest(action, narrow, names)
            result = self._find(action, digest)
            if result is not None:
                self._keep(action, names, used, memo.key(action, narrow, names), result.outputs)
                return _known(action, dict(result.outputs), begun, digest)
        return Task(action, tree, begun, names=names, sets=tuple(more))

    def ask(self, action: Action, tree: Tree, race: Race | None = None) -> Outcome:
        """Let the build farm find or make the outputs of an action that are not known here.

        Raises NotThere where it does neither, ActionError; of a race also Lost and Undecided.
        """
        assert self._remote is not None
        task = self.look_up(action, tree, time.monotonic())
        if isinstance(task, Outcome):
            return task
        if race is None:
            return self._asked(task, None)
        if self._remote.may_run(action, tree):
            race.enter(task)
        try:
            return self._asked(task, race)
        except Ended:
            raise Lost from None

    def _asked(self, task: Task, race: Race | None) -> Outcome:
        assert self._remote is not None
        action, tree, waiting = task.action, task.inputs, race.there if race else None
        found = None if action.again else self._remote.find(action, tree, task.names, waiting)
        if found is not None and declared.is_whole(action, found.result):
            if race is not None and not race.claim(Side.FARM):
                raise Lost
            return self._learnt(task, found)
        if not self._remote.may_run(action, tree):
            raise NotThere(task)
        found = self._remote.run(action, tree, anew=action.again, waiting=waiting)
        if found is None:
            raise NotThere(task)
        if found.result.exit_code:
            failure = self._failures.of(action, tree, found.result)
            raise Undecided(failure) if race and _is_doubtful(found.result) else failure
        if not self._is_complete(action, found.result):
            raise NotThere(task)  # there are farms that drop links; what is wrong here tells itself
        if race is None:
            return self._kept(task, found.result, found)
        return self._won(task, race, Side.FARM, found.result, found)

    def compete(self, task: Task, race: Race) -> Outcome:
        """Run here what runs in the build farm too.

        Raises Lost, Undecided, ActionError. That needs the inputs: if they lie in the farm, and are
        large, it is out of the race.
        """
        files = (node.digest for node in task.inputs.values() if isinstance(node, File))
        if sum(digest.size for digest in self._store.far(files)) > FETCHED:
            race.is_fit = False
            raise Lost
        try:
            result = self._result(task.action, task.inputs, race.here)
        except Cancelled:
            raise Lost from None
        except (LaminaError, OSError) as error:
            raise Undecided(error) from error
        if result.exit_code:
            failure = self._failures.of(task.action, task.inputs, result)
            raise Undecided(failure) if _is_doubtful(result) else failure
        return self._won(task, race, Side.HERE, result)

    def _won(
        self, task: Task, race: Race, side: Side, result: ActionResult, found: Found | None = None
    ) -> Outcome:
        """Keep the result of a side, if it is the first one."""
        if not race.claim(side):
            raise Lost
        return replace(self._kept(task, result, found), raced=race.had_both)

    def _is_complete(self, action: Action, result: ActionResult) -> bool:
        told = not action.depfile or action.depfile in dict(result.outputs)
        return told and declared.is_whole(action, result)

    def _learnt(self, task: Task, found: Found) -> Outcome:
        """Keep here what the farm knew."""
        action, result = task.action, declared.outputs(task.action, found.result)
        if task.names:
            narrow = {path: task.inputs[path] for path in found.used}
            self._keep_narrow(task, narrow, found.used, result)
        else:
            self._cache.put(task.digest, result)
            self.memo.outputs[task.key] = result.outputs
        known = _known(action, dict(result.outputs), task.begun, found.digest)
        return replace(known, farm=True, shared=True)

    def run(self, task: Task) -> Outcome:
        """Run an action whose outputs are not known; raises ActionError."""
        return self._kept(task, self._run(task.action, task.inputs))

    def wanted(self, task: Task) -> Files | None:
        """What a resident program wants to have for an action; None where that is not there."""
        nodes = {path: task.inputs.get(path) for path in workers.sources(task.action)}
        self._store.fetch(node.digest for node in nodes.values() if isinstance(node, File))
        return (
            {
                path: self._store.read(node.digest)
                for path, node in nodes.items()
                if isinstance(node, File)
            }
            if all(isinstance(node, File) for node in nodes.values())
            else None
        )

    def answered(self, task: Task, answer: Answer) -> Outcome:
        """Keep what a resident program made; raises ActionError."""
        outputs = tuple(
            (path, File(self._store.write(data, durable=False)))
            for path, data in sorted(answer.outputs.items())
        )
        result = ActionResult(outputs, answer.exit_code, b"", answer.stderr)
        if result.exit_code != 0:
            raise self._failures.of(task.action, task.inputs, result)
        return self._kept(task, result)

    def _kept(self, task: Task, made: ActionResult, found: Found | None = None) -> Outcome:
        """Keep what an action made here, or in the build farm, which is `found` then."""
        action, result, inputs = task.action, declared.outputs(task.action, made), task.inputs
        used: tuple[str, ...] = ()
        if task.names:
            used = self._told(task, made, anywhere=found is not None)
            inputs = {path: task.inputs[path] for path in used}
            digest = self._keep_narrow(task, inputs, used, result)
        else:
            digest = task.digest
            if not declared.is_fleeting(action, result):
                self._cache.put(digest, result)
                self.memo.outputs[task.key] = result.outputs
        outcome = _made(action, digest, inputs, result, task.begun)
        if self._remote is None:
            return outcome
        lasting = not declared.is_fleeting(action, result)
        digest = self._remote.keep(
            action, task.inputs, task.names, used, result, found, lasting=lasting
        )
        cached = found is not None and found.cached
        return replace(outcome, digest=digest, cached=cached, farm=found is not None, shared=True)

    def _keep_narrow(
        self, task: Task, narrow: Tree, used: tuple[str, ...], result: ActionResult
    ) -> Digest:
        digest = identity.digest(task.action, narrow, task.names)
        self._cache.put(digest, result)
        self._cache.put_used(task.names, list(dict.fromkeys((used, *task.sets)))[:_SETS])
        key = memo.key(task.action, narrow, task.names)
        self._keep(task.action, task.names, used, key, result.outputs)
        return digest

    def _keep(
        self,
        action: Action,
        names: memo.Key,
        used: tuple[str, ...],
        key: memo.Key,
        outputs: tuple[tuple[str, Node], ...],
    ) -> None:
        self.used[action] = used
        others = [other for other in self._known.used.get(names, ()) if other != used]
        self.memo.used[names] = (used, *others)[:_SETS]
        self.memo.outputs[key] = outputs

    def _find(self, action: Action, digest: Digest) -> ActionResult | None:
        result = self._cache.get(digest)
        return result if result is not None and declared.is_whole(action, result) else None

    def _told(self, task: Task, made: ActionResult, *, anywhere: bool) -> tuple[str, ...]:
        """What an action read, as it tells itself."""
        action = task.action
        told = dict(made.outputs).get(action.depfile)
        if not isinstance(told, File):
            raise ActionError(
                f"`{action.owner}`: {action} succeeded but did not tell what it read in "
                f"`{action.depfile}`"
            )
        text = self._store.read(told.digest).decode(errors="surrogateescape")
        return identity.told(action, task.inputs, text, anywhere=anywhere)

    def _run(self, action: Action, tree: Tree) -> ActionResult:
        if self._dry:
            raise NotRun(action, tree)
        result = self._result(action, tree)
        if result.exit_code != 0:
            raise self._failures.of(action, tree, result)
        return result

    def _result(
        self, action: Action, tree: Tree, cancellation: Cancellation | None = None
    ) -> ActionResult:
        """What comes of an action here, also of one that fails."""
        try:
            if action.builtin:
                return self._builtins.run(action, tree)
            return self._sandbox.run(_prepared(action, tree), cancellation)
        except (ActionError, BuiltinFailed) as error:
            failure = ActionError(f"`{action.owner}`: {action}: {error.message}", hint=error.hint)
            failure.exit_code = error.exit_code
            raise failure from error


class NotRun(ActionError):
    """An action would run, if this were not a dry run."""

    def __init__(self, action: Action, inputs: Tree) -> None:
        super().__init__(f"`{action.owner}`: {action} would run")
        self.action = action
        self.inputs = inputs


def _check(action: Action, tree: Tree) -> None:
    for file, inner in conflicts(tree):
        raise ActionError(f"`{action.owner}`: `{file}` is both a file and a folder of `{inner}`")


def _is_doubtful(result: ActionResult) -> bool:
    return is_doubtful(result.exit_code, result.stderr)


def _prepared(action: Action, tree: Tree) -> Run:
    outputs = (*action.outputs, *((action.depfile,) if action.depfile else ()))
    return Run(
        action.arguments,
        dict(action.environment),
        tree,
        outputs,
        action.mounts,
        action.timeout,
        action.network,
    )


def _known(
    action: Action, outputs: dict[str, Node], begun: float, digest: Digest = _UNKNOWN
) -> Outcome:
    return Outcome(action, digest, {}, outputs, True, begun, time.monotonic())


def _made(
    action: Action, digest: Digest, inputs: Tree, result: ActionResult, begun: float
) -> Outcome:
    outputs = dict(result.outputs)
    return Outcome(action, digest, inputs, outputs, False, begun, time.monotonic(), result.stderr)
