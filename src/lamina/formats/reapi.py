"""Values of the core as messages of the Remote Execution API v2, and back.

Specification: github.com/bazelbuild/remote-apis, build/bazel/remote/execution/v2. Messages are
written canonically (fields by number, nodes sorted by name), so that one value has one digest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TypeVar

from lamina.core import action as core
from lamina.core.classes import dataclass
from lamina.core.digest import Digest
from lamina.core.errors import IntegrityError
from lamina.core.tree import File, Folder, Node, Symlink, check_path, conflicts
from lamina.formats import protobuf
from lamina.formats import reapi_pb2 as pb

M = TypeVar("M", bound=protobuf.Message)
Child = File | Symlink | Digest  # a digest is that of another Directory


@dataclass(frozen=True, slots=True)
class Execution:
    """How a farm is to run an action."""

    do_not_cache: bool = False


def encode_directory(children: Mapping[str, Child]) -> bytes:
    """One level of a tree as a canonical `Directory` message."""
    message = pb.Directory()
    for name in sorted(children, key=str.encode):
        node = children[name]
        if isinstance(node, File):
            message.files.append(
                pb.FileNode(name=name, digest=digest(node.digest), is_executable=node.executable)
            )
        elif isinstance(node, Symlink):
            message.symlinks.append(pb.SymlinkNode(name=name, target=node.target))
        else:
            message.directories.append(pb.DirectoryNode(name=name, digest=digest(node)))
    return _bytes(message)


def decode_directory(data: bytes) -> dict[str, Child]:
    """Read a `Directory`; raises IntegrityError for names that are no names or come twice."""
    message = _parse(pb.Directory, data)
    children: dict[str, Child] = {}
    for file in message.files:
        _put(children, file.name, File(value(file.digest), file.is_executable))
    for link in message.symlinks:
        _put(children, link.name, symlink(link.target))
    for folder in message.directories:
        _put(children, folder.name, value(folder.digest))
    return children


def encode_tree(root: bytes, below: Iterable[bytes]) -> bytes:
    """A `Tree` of `Directory` messages: its root, and all that lie below it, in any order."""
    message = pb.Tree(root=_parse(pb.Directory, root))
    message.children.extend(_parse(pb.Directory, each) for each in sorted(set(below)))
    return _bytes(message)


def decode_tree(data: bytes) -> tuple[dict[str, Child], dict[Digest, dict[str, Child]]]:
    """Read a `Tree`: its root, and what lies below by digest; raises IntegrityError."""
    message = _parse(pb.Tree, data)
    levels = [_bytes(child) for child in message.children]
    children = {Digest.of(level): decode_directory(level) for level in levels}
    return decode_directory(_bytes(message.root)), children


def encode_action(
    action: core.Action,
    input_root: Digest,
    environment: Iterable[tuple[str, str]],
    *,
    folder: str = "",
    platform: Iterable[tuple[str, str]] = (),
    run: Execution | None = None,
) -> tuple[bytes, bytes]:
    """The `Command` and the `Action` message; the digest of the latter is the action's digest.

    It works in a `folder` of its inputs. `platform` are properties of the workers that it runs on,
    sorted. With `run` it is not the action as results of it are known, but as a farm is to run it.
    """
    paths = sorted(f"{core.OUTPUT_FOLDER}/{path}" for path in action.outputs)
    if run is not None and action.depfile:
        paths = sorted((*paths, f"{core.OUTPUT_FOLDER}/{action.depfile}"))
    variables = dict(environment) | dict(action.environment)
    command = _bytes(
        pb.Command(
            arguments=action.arguments,
            environment_variables=[
                pb.Command.EnvironmentVariable(name=name, value=variables[name])
                for name in sorted(variables)
            ],
            output_paths=paths,
            working_directory=folder,
            platform=_platform(platform),
        )
    )
    message = pb.Action(
        command_digest=digest(Digest.of(command)),
        input_root_digest=digest(input_root),
        salt=action.toolchain.encode(),
        platform=_platform(platform),
    )
    if run is not None:
        message.do_not_cache = run.do_not_cache
        if action.timeout:
            # There are servers that take a part of a second for no limit.
            message.timeout.CopyFrom(pb.Duration(seconds=math.ceil(action.timeout)))
    return command, _bytes(message)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What an `Action` message says."""

    command: Digest
    input_root: Digest
    salt: str
    platform: tuple[tuple[str, str], ...]
    timeout: float  # seconds; 0 is never


@dataclass(frozen=True, slots=True)
class DecodedCommand:
    """What a `Command` message says."""

    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...]


def decode_action(data: bytes) -> Decoded:
    """Read an `Action`; raises IntegrityError."""
    message = _parse(pb.Action, data)
    return Decoded(
        value(message.command_digest),
        value(message.input_root_digest),
        message.salt.decode(errors="replace"),
        tuple((each.name, each.value) for each in message.platform.properties),
        message.timeout.seconds + message.timeout.nanos / 1e9,
    )


def decode_command(data: bytes) -> DecodedCommand:
    """Read a `Command`; raises IntegrityError."""
    message = _parse(pb.Command, data)
    variables = ((each.name, each.value) for each in message.environment_variables)
    return DecodedCommand(tuple(message.arguments), tuple(variables), tuple(message.output_paths))


def _platform(properties: Iterable[tuple[str, str]]) -> pb.Platform | None:
    found = [pb.Platform.Property(name=name, value=value) for name, value in properties]
    return pb.Platform(properties=found) if found else None


def encode_result(result: core.ActionResult) -> bytes:
    """An `ActionResult` whose output folders are written flat, file by file.

    Only a folder without contents becomes an `OutputDirectory`, with the digest of an empty `Tree`.
    """
    message = pb.ActionResult(
        exit_code=result.exit_code, stdout_raw=result.stdout, stderr_raw=result.stderr
    )
    for path, node in sorted(result.outputs):
        full = f"{core.OUTPUT_FOLDER}/{path}"
        if isinstance(node, File):
            message.output_files.append(
                pb.OutputFile(path=full, digest=digest(node.digest), is_executable=node.executable)
            )
        elif isinstance(node, Symlink):
            message.output_symlinks.append(pb.OutputSymlink(path=full, target=node.target))
        else:
            message.output_directories.append(
                pb.OutputDirectory(path=full, tree_digest=digest(EMPTY_TREE))
            )
    return _bytes(message)


def decode_result(data: bytes) -> core.ActionResult:
    """Read an `ActionResult`; raises IntegrityError for outputs outside of `out` or in conflict."""
    message = _parse(pb.ActionResult, data)
    found: list[tuple[str, Node]] = []
    for file in message.output_files:
        found.append((output_path(file.path), File(value(file.digest), file.is_executable)))
    for link in message.output_symlinks:
        found.append((output_path(link.path), symlink(link.target)))
    for folder in message.output_directories:
        if value(folder.tree_digest) != EMPTY_TREE:
            raise IntegrityError(f"output folder `{folder.path}` is not written flat")
        found.append((output_path(folder.path), Folder()))
    outputs = dict(found)
    if len(outputs) != len(found) or conflicts(outputs):
        raise IntegrityError("two outputs of one action have the same path")
    return core.ActionResult(
        tuple(sorted(outputs.items(), key=lambda item: item[0])),
        message.exit_code,
        message.stdout_raw,
        message.stderr_raw,
    )


def output_path(path: str) -> str:
    """An output's path below `out`; raises IntegrityError for one outside."""
    folder, _, rest = path.partition("/")
    if folder != core.OUTPUT_FOLDER:
        raise IntegrityError(f"output `{path}` lies outside of `{core.OUTPUT_FOLDER}`")
    return check_path(rest)


def _put(children: dict[str, Child], name: str, node: Child) -> None:
    if "/" in check_path(name) or name in children:
        raise IntegrityError(f"bad or repeated name `{name}` in a directory")
    children[name] = node


def symlink(target: str) -> Symlink:
    """A link to a target; raises IntegrityError for what is none."""
    if not target or "\0" in target:
        raise IntegrityError(f"not the target of a symbolic link: {target!r}")
    return Symlink(target)


def digest(name: Digest) -> pb.Digest:
    """A digest as a message."""
    return pb.Digest(hash=name.hash, size_bytes=name.size)


def value(message: pb.Digest) -> Digest:
    """The digest in a message; raises IntegrityError for what is none."""
    return Digest.from_oci(f"sha256:{message.hash}", message.size_bytes)


def _bytes(message: protobuf.Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def _parse(kind: type[M], data: bytes) -> M:
    message = kind()
    try:
        message.ParseFromString(data)
    except protobuf.DecodeError as error:
        raise IntegrityError(f"not a {message.DESCRIPTOR.name} message") from error
    return message


EMPTY_TREE_DATA = _bytes(pb.Tree(root=pb.Directory()))
EMPTY_TREE = Digest.of(EMPTY_TREE_DATA)
