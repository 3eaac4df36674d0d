"""What a build farm does for a build: it knows results, keeps those from here, and runs actions.

An action is known there by the digest of its `Action` message, as here; with `platform` of
`[remote]`, which is part of it. An action that tells what it read is known by that
(decision 13). Which inputs that were is kept as a result of its own, the hint: it is found by the
command and the names of all inputs, has the paths in `stdout_raw`, and the newest result's outputs.
So one question is enough, as long as the newest result is the one that is wanted.

Whatever the farm cannot do runs here, as without a farm.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable

from lamina.build import builtins, identity, links, memo, placement, workers
from lamina.build.identity import Described
from lamina.build.sandbox import WORK
from lamina.core.action import Action, ActionResult
from lamina.core.classes import dataclass, replace
from lamina.core.digest import Digest
from lamina.core.errors import ActionError, IntegrityError, UserError
from lamina.core.tree import File, Symlink, Tree
from lamina.formats import reapi, reapi_pb2
from lamina.store.remote import results
from lamina.store.remote.errors import Absent, FarmError
from lamina.store.remote.execution import Executed, TookTooLong
from lamina.store.remote.service import Service
from lamina.store.remote.waiting import Waiting

_SETS = 4  # of inputs that a hint tells
_LARGEST = 1 << 20  # bytes of the paths in a hint, unpacked
_ATTEMPTS = 3  # at running an action whose inputs the farm loses meanwhile

Used = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A result; `used` are the inputs that count where the action tells them."""

    digest: Digest
    result: ActionResult
    used: Used = ()
    cached: bool = True


class Remote:
    """A farm as a build sees it. Safe to use from many threads."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._platform = service.farm.platform
        self._sets: dict[memo.Key, list[Used]] = {}  # that a hint told, by what names a command
        self.jobs = service.farm.jobs
        # Seconds after which what runs there may run here too; None for never.
        self.race_delay = service.farm.race_delay / 1000 if service.farm.races else None

    def cancel(self) -> None:
        """End what somebody waits for."""
        self._service.cancel()

    def distrust(self) -> None:
        """Something that it should have had was lost: believe it only what it hands over."""
        self._service.lose()

    @property
    def is_used(self) -> bool:
        """Whether there is anything to ask it."""
        return self._service.reads or self._service.executes

    def find(
        self, action: Action, tree: Tree, names: memo.Key = b"", waiting: Waiting | None = None
    ) -> Found | None:
        """The result of an action, if the farm knows it; raises Ended where the wait was ended.

        `names` is set where the action tells what it reads.
        """
        if not self._service.reads or not _may_be_kept(action):
            return None
        try:
            if names:
                return self._find_narrow(action, tree, names, waiting)
            described = self._described(action, tree)
            return self._accepted(described.digest, self._get(described.digest, action, waiting))
        except FarmError as error:
            self._service.failed(error)
            return None

    def _get(
        self, digest: Digest, action: Action, waiting: Waiting | None
    ) -> reapi_pb2.ActionResult | None:
        return self._service.results.get(digest, action, waiting)

    def _find_narrow(
        self, action: Action, tree: Tree, names: memo.Key, waiting: Waiting | None
    ) -> Found | None:
        hint = self._get(self._hint(action, names).digest, action, waiting)
        if hint is None:
            return None
        newest, sets = _decode_hint(hint.stdout_raw)
        self._sets[names] = sets
        for used in sets:
            if not all(path in tree for path in used):
                continue
            narrow = {path: tree[path] for path in used}
            digest = self._described(action, narrow, names).digest
            if digest == newest:
                hint.ClearField("stdout_raw")
            kept = hint if digest == newest else self._get(digest, action, waiting)
            if (found := self._accepted(digest, kept)) is not None:
                return replace(found, used=used)
        return None

    def _accepted(self, digest: Digest, kept: reapi_pb2.ActionResult | None) -> Found | None:
        """A result that is of use: it succeeded, and what it names can be had."""
        if kept is None or kept.exit_code != 0:
            return None
        try:
            result = self._taken(self._service.results.read(kept))
        except IntegrityError:
            return None  # the farm has lost a part of it, or never had a whole one
        return Found(digest, result)

    def _taken(self, result: ActionResult) -> ActionResult:
        """Know that the outputs lie in the farm, or bring them; raises BlobMissing."""
        blobs = result.blobs()
        store = self._service.store
        if self._service.careful or self._service.farm.download == "all":
            store.fetch(blobs)
        else:
            self._service.expect(blobs)
        return result

    def may_run(self, action: Action, tree: Tree) -> bool:
        """Whether the farm runs an action."""
        return self._service.executes and self._sees_all(action, tree)

    def run(
        self, action: Action, tree: Tree, *, anew: bool = False, waiting: Waiting | None = None
    ) -> Found | None:
        """Let the farm run an action, `anew` even if it knows what comes of it.

        None where it has to run here. Raises ActionError; Ended where the wait was ended.
        """
        try:
            executed = self._run(action, tree, anew=anew, waiting=waiting or Waiting())
            return self._received(action, tree, executed)
        except TookTooLong as error:
            if action.timeout:
                raise ActionError(
                    f"`{action.owner}`: {action}: it took longer than {action.timeout:g} s"
                ) from error
            self._service.failed(error)
        except FarmError as error:
            self._service.failed(error)
        return None

    def _received(self, action: Action, tree: Tree, executed: Executed) -> Found | None:
        """What the farm made of an action, as if it had run here; None if that is of no use."""
        outputs = (*action.outputs, *((action.depfile,) if action.depfile else ()))
        try:
            result = self._service.results.read(executed.result)
            if not result.exit_code:
                made = links.resolved(dict(result.outputs), tree, outputs, WORK)
                result = self._taken(replace(result, outputs=tuple(sorted(made.items()))))
        except IntegrityError as error:
            # It has lost what it has just made, or tells of it what cannot be.
            self._service.note(f"what the build farm made is of no use: {error.message}")
            return None
        return Found(_NOTHING, result, cached=executed.cached)

    def _run(self, action: Action, tree: Tree, *, anew: bool, waiting: Waiting) -> Executed:
        # What a farm keeps by itself it keeps for good: not so a test that fails.
        alone = placement.NO_CACHE in action.placement
        how = reapi.Execution(do_not_cache=bool(action.fleeting) or alone)
        described = self._described(action, tree, run=how)
        wanted: dict[Digest, bytes | None] = dict(described.blobs)
        for node in tree.values():
            if isinstance(node, File):
                wanted.setdefault(node.digest, None)
        uploads = self._service.uploads
        for left in range(_ATTEMPTS - 1, -1, -1):
            uploads.ensure(wanted, waiting)
            try:
                return self._service.execution.run(
                    described.digest, action, anew=anew or alone, waiting=waiting
                )
            except Absent as absent:
                # It has lost what it had, or has begun anew with nothing at all.
                uploads.forget(absent.digests or wanted)
                if not left:
                    raise
        raise AssertionError

    def keep(
        self,
        action: Action,
        tree: Tree,
        names: memo.Key,
        used: Used,
        result: ActionResult,
        found: Found | None,
        *,
        lasting: bool = True,
    ) -> Digest:
        """Send a result to the farm, behind; one that it `found` where it does not keep it itself.

        Of an action that tells what it read this is `used`, and `names` is set. Returns what the
        action is known by there; what is not `lasting` it is not sent.
        """
        tree = {path: tree[path] for path in used} if names else tree
        described = self._described(action, tree, names)
        keeps_itself = found is not None and not (names or action.fleeting or action.timeout)
        if self._service.writes and lasting and not keeps_itself and _may_be_kept(action):
            self._send(described, action, names, used, result)
        return described.digest

    def _send(
        self,
        described: Described,
        action: Action,
        names: memo.Key,
        used: Used,
        result: ActionResult,
    ) -> None:
        blobs: dict[Digest, bytes | None] = dict.fromkeys(result.blobs())
        blobs |= described.blobs
        message, more = results.message(result.outputs, result.stderr, action.outputs)
        blobs |= more
        hint = self._hint(action, names) if names else None
        if hint is not None:
            blobs |= hint.blobs

        def then() -> None:
            self._service.saved.put(described.digest, message, action)
            if hint is not None:
                older = self._sets.get(names, ())
                sets = list(dict.fromkeys((used, *older)))[:_SETS]
                message.stdout_raw = _encode_hint(described.digest, sets)
                self._service.saved.put(hint.digest, message, action)

        self._service.uploads.later(blobs, then)

    def _sees_all(self, action: Action, tree: Tree) -> bool:
        """Whether a worker of the farm sees all that an action needs: /usr, and its inputs."""
        if action.builtin or action.network or action.mounts or action.worker == workers.COMPILE:
            return False
        if placement.NO_EXEC in action.placement:
            return False
        if self._service.can_run.outer_links:
            return True
        links = (node for node in tree.values() if isinstance(node, Symlink))
        return not any(link.target.startswith("/") for link in links)

    def _described(
        self,
        action: Action,
        tree: Tree,
        names: memo.Key = b"",
        run: reapi.Execution | None = None,
    ) -> Described:
        return identity.described(action, tree, names, platform=self._platform, run=run)

    def _hint(self, action: Action, names: memo.Key) -> Described:
        """The action whose result tells which inputs one was seen to read."""
        arguments = ("lamina", "inputs", names.hex())
        return self._described(Action(action.mnemonic, action.owner, arguments, (), ()), {})


def _may_be_kept(action: Action) -> bool:
    """Whether a result is worth its place in the farm: what was downloaded lies elsewhere too."""
    return action.builtin != builtins.DOWNLOAD and placement.NO_CACHE not in action.placement


def _encode_hint(newest: Digest, sets: Iterable[Used]) -> bytes:
    document = {"newest": str(newest), "used": [list(used) for used in sets]}
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode())


def _decode_hint(data: bytes) -> tuple[Digest | None, list[Used]]:
    """The digest of the newest action, and the sets of inputs; nothing for what is no hint."""
    try:
        unpacker = zlib.decompressobj()
        document = json.loads(unpacker.decompress(data, _LARGEST))
        newest = Digest.parse(document["newest"])
        sets = [tuple(map(str, used)) for used in document["used"]]
    except (zlib.error, ValueError, KeyError, TypeError, UserError):
        return None, []
    return newest, sets[:_SETS]


_NOTHING = Digest.of(b"")
