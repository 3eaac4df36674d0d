"""The action cache of a build farm: results of actions by the digest of their `Action` message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from lamina.core.action import OUTPUT_FOLDER, Action, ActionResult
from lamina.core.cancellation import Cancellation
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.tree import DEEPEST, File, Folder, Node, conflicts
from lamina.formats import reapi, reapi_pb2
from lamina.formats import remote_pb2 as pb
from lamina.store import trees
from lamina.store.blobs import BlobMissing
from lamina.store.remote.cas import Cas
from lamina.store.remote.connection import Connection
from lamina.store.remote.errors import FarmError

_SERVICE = "/build.bazel.remote.execution.v2.ActionCache"
_PATIENCE = 15.0  # seconds that a look-up may take; then the action is done without
_MOST = 1_000_000  # paths in an output folder
_FLAT = 200  # paths of a folder that are written one by one
_PRINTED = 1 << 20  # bytes that a command printed and that are fetched


class Results:
    """The results at one endpoint. Safe to use from many threads."""

    def __init__(
        self,
        connection: Connection,
        instance: str,
        cas: Cas,
        hold: Callable[[bytes], object] = lambda _data: None,
    ) -> None:
        """`hold` is given the bytes of outputs that come with a result."""
        self._hold = hold
        self._connection = connection
        self._instance = instance
        self._cas = cas

    def get(
        self, digest: Digest, action: Action, cancellation: Cancellation | None = None
    ) -> reapi_pb2.ActionResult | None:
        """The result of an action as it is kept there; raises FarmError, Ended once cancelled."""
        request = pb.GetActionResultRequest(
            instance_name=self._instance,
            action_digest=reapi.digest(digest),
            inline_stdout=True,
            inline_stderr=True,
        )
        timeout = min(_PATIENCE, self._connection.farm.timeout)
        try:
            return self._connection.ask(
                f"{_SERVICE}/GetActionResult",
                request,
                reapi_pb2.ActionResult,
                timeout=timeout,
                action=action,
                digest=digest,
                cancellation=cancellation,
            )
        except FarmError as error:
            if error.code == "NOT_FOUND":
                return None
            raise

    def put(self, digest: Digest, result: reapi_pb2.ActionResult, action: Action) -> None:
        """Keep a result; the blobs that it names are there. Raises FarmError."""
        request = pb.UpdateActionResultRequest(
            instance_name=self._instance, action_digest=reapi.digest(digest), action_result=result
        )
        self._connection.ask(
            f"{_SERVICE}/UpdateActionResult",
            request,
            reapi_pb2.ActionResult,
            action=action,
            digest=digest,
        )

    def read(self, result: reapi_pb2.ActionResult) -> ActionResult:
        """A result in our words, its output folders file by file.

        Raises BlobMissing or IntegrityError for one that is of no use, FarmError.
        """
        found: list[tuple[str, Node]] = []
        for file in result.output_files:
            node = File(reapi.value(file.digest), file.is_executable)
            if file.contents and Digest.of(file.contents) == node.digest:
                self._hold(file.contents)
            found.append((reapi.output_path(file.path), node))
        links = (
            *result.output_symlinks,
            *result.output_file_symlinks,
            *result.output_directory_symlinks,
        )
        for link in links:
            found.append((reapi.output_path(link.path), reapi.symlink(link.target)))
        folders = {each.path: reapi.value(each.tree_digest) for each in result.output_directories}
        for path, tree in self._trees(folders).items():
            top = reapi.output_path(path)
            found += [(f"{top}/{inner}".rstrip("/"), node) for inner, node in tree.items()]
        outputs = dict(found)
        # Newer servers tell a link in `output_symlinks` too, for older clients.
        if any(outputs[path] != node for path, node in found) or conflicts(outputs):
            raise IntegrityError("two outputs of one action have the same path")
        return ActionResult(
            tuple(sorted(outputs.items(), key=lambda item: item[0])),
            result.exit_code,
            self._printed(result.stdout_raw, result.stdout_digest),
            self._printed(result.stderr_raw, result.stderr_digest),
        )

    def _trees(self, digests: Mapping[str, Digest]) -> dict[str, dict[str, Node]]:
        """The contents of output folders by path; an empty one is a Folder at ``."""
        data: dict[Digest, bytes] = {}
        wanted = {each for each in digests.values() if each != reapi.EMPTY_TREE}
        small = {each for each in wanted if self._cas.is_small(each)}
        for absent in self._cas.read_small(small, data.__setitem__) if small else ():
            raise BlobMissing(absent)
        for each in wanted - small:
            data[each] = self._cas.read(each)
        return {
            path: {"": Folder()} if digest not in data else _flat(data[digest])
            for path, digest in digests.items()
        }

    def _printed(self, raw: bytes, message: reapi_pb2.Digest) -> bytes:
        if raw or not message.hash:
            return raw
        digest = reapi.value(message)
        if not digest.size:
            return b""
        if digest.size > _PRINTED:
            return f"[{digest.size} bytes, blob {digest} of the build farm]\n".encode()
        try:
            return self._cas.read(digest)
        except BlobMissing:
            return b"[what it printed is not in the build farm any more]\n"


def _flat(data: bytes) -> dict[str, Node]:
    """The paths of a `Tree` message."""
    root, children = reapi.decode_tree(data)
    found: dict[str, Node] = {}

    def walk(level: Mapping[str, reapi.Child], prefix: str) -> None:
        if prefix.count("/") >= DEEPEST or len(found) + len(level) > _MOST:
            raise IntegrityError("an output folder is too deep or has too many paths")
        if not level:
            found[prefix.rstrip("/")] = Folder()
        for name, node in level.items():
            if isinstance(node, Digest):
                if node not in children:
                    raise IntegrityError(f"an output folder lacks its part `{prefix}{name}`")
                walk(children[node], f"{prefix}{name}/")
            else:
                found[prefix + name] = node

    walk(root, "")
    return found


def message(
    outputs: Iterable[tuple[str, Node]], printed: bytes = b"", folders: Iterable[str] = ()
) -> tuple[reapi_pb2.ActionResult, dict[Digest, bytes]]:
    """A result that succeeded, as it is kept, and blobs that go with it.

    Output folders are written flat, but for those of `folders` that hold so much that a message
    would be too large: these have a `Tree`.
    """
    flat = dict(outputs)
    blobs: dict[Digest, bytes] = {}
    found: dict[str, Digest] = {}
    for folder in folders:
        inside = {path: node for path, node in flat.items() if path.startswith(f"{folder}/")}
        if len(inside) > _FLAT:
            _, levels = trees.encode({path[len(folder) + 1 :]: inside[path] for path in inside})
            blobs |= {Digest.of(level): level for level in levels}  # there are farms that want them
            data = reapi.encode_tree(levels[-1], levels[:-1])
            found[folder] = Digest.of(data)
            blobs[found[folder]] = data
            flat = {path: node for path, node in flat.items() if path not in inside}
    if any(isinstance(node, Folder) for node in flat.values()):
        blobs[reapi.EMPTY_TREE] = reapi.EMPTY_TREE_DATA
    result = ActionResult(tuple(flat.items()), 0, b"", printed)
    made = reapi_pb2.ActionResult.FromString(reapi.encode_result(result))
    for folder, digest in found.items():
        path = f"{OUTPUT_FOLDER}/{folder}"
        made.output_directories.add(path=path, tree_digest=reapi.digest(digest))
    return made, blobs
