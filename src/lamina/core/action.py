"""Actions: one command with its whole input tree, environment and declared outputs.

Analysis makes actions whose inputs may be outputs of other actions, so their digests are not known
yet. The engine resolves them from the sources upwards; once every input is a node of a tree, the
action has its digest (that of the Remote Execution API's Action message) and may be looked up.
"""

from __future__ import annotations

from lamina.core.classes import dataclass, field
from lamina.core.digest import Digest
from lamina.core.tree import File, Node

OUTPUT_FOLDER = "out"  # where, below its working directory, an action may write


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder of the workspace, by its path from the root."""

    path: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A small file that analysis itself wrote down, such as a launcher."""

    data: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A node whose content already lies in the store."""

    node: Node


@dataclass(frozen=True, slots=True)
class Output:
    """What an action wrote at a path below its output folder: a file, a symlink or a folder."""

    action: Action
    path: str


Artifact = Source | Literal | Stored | Output


# Compared by identity: analysis makes each action once, and comparing by value would walk the
# whole graph below it.
@dataclass(frozen=True, slots=True, eq=False)
class Action:
    """A command as analysis knows it.

    It runs in a folder that holds `inputs` at their paths, read-only, and an empty folder `out`
    in which it must make every one of `outputs`.
    """

    mnemonic: str  # kind of work, for people: `CxxCompile`
    owner: str  # label of the target it belongs to
    arguments: tuple[str, ...]
    inputs: tuple[tuple[str, Artifact], ...]
    outputs: tuple[str, ...]  # paths relative to `out`
    environment: tuple[tuple[str, str], ...] = ()
    toolchain: str = ""  # identity of the tools used; part of the digest as its salt
    subject: str = ""  # what it works on, for people: `train/model.cc`
    mounts: tuple[str, ...] = field(default=())  # folders of the machine its toolchain needs
    # Below `out`, a Makefile fragment that the command writes and that names the inputs it read:
    # the others, where they have the same paths, do not matter to its result. No output.
    depfile: str = ""
    untold: tuple[str, ...] = ()  # paths of inputs that it may read without naming them there
    # Work that lamina itself does, outside of the sandbox: the arguments are what it works by.
    builtin: str = ""
    worker: str = ""  # a resident program that does the same without a process of its own
    timeout: float = 0.0  # seconds after which it is ended; 0 is never
    network: bool = False  # whether it may use the network
    # One of the outputs: unless it is an empty file, the result is for this build alone, and the
    # next one makes it anew. So a test that fails tells of itself, and is not remembered.
    fleeting: str = ""
    placement: tuple[str, ...] = ()  # what limits where it runs, as told in `build.placement`
    again: bool = False  # whether it runs even where its result is known

    def output(self, path: str) -> Output:
        """The artifact at one of the declared outputs."""
        assert path in self.outputs, (path, self.outputs)
        return Output(self, path)

    def __str__(self) -> str:
        return f"{self.mnemonic} {self.subject or self.owner}"


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What an action left: its outputs by path below `out`, and what it printed."""

    outputs: tuple[tuple[str, Node], ...]  # a folder is written as its contents
    exit_code: int = 0
    stdout: bytes = b""
    stderr: bytes = b""

    def blobs(self) -> list[Digest]:
        """Every blob that must be in the store for this result to be usable."""
        return [node.digest for _, node in self.outputs if isinstance(node, File)]
