"""What targets hand to those that depend on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import ClassVar

from lamina.core.action import Artifact
from lamina.core.classes import dataclass, field
from lamina.core.job import Spec
from lamina.core.label import Label


@dataclass(frozen=True, slots=True, eq=False)
class CxxInfo:
    """What compiling and linking against a C or C++ library takes; compared by identity.

    A library has code in one form, in both or in none: as an archive, for who takes it in, and as a
    shared library, for who loads it. Either is made only where somebody wants it.
    """

    label: Label | None = None  # of the target whose layer has the shared library and its data
    root: str = ""  # folder of its cell: headers are named from there
    headers: tuple[tuple[str, Artifact], ...] = ()  # at their path from the workspace root
    switches: tuple[tuple[str, ...], ...] = ()  # include folders, defines, for all dependents
    linker_flags: tuple[str, ...] = ()  # for every link that it ends up in
    archive_flags: tuple[str, ...] = ()  # for a link that takes its archive in
    linker_inputs: tuple[tuple[str, Artifact], ...] = ()  # files that these flags name
    archive: tuple[str, Artifact] | None = None  # at its path in a link action
    whole: bool = False  # whether all of it is linked, be it called or not
    library: tuple[str, Artifact] | None = None  # soname and shared library
    data: tuple[tuple[str, Artifact], ...] = ()  # read at run time, by path in the package root
    carried: tuple[Label, ...] = ()  # targets whose layers its data are
    deps: tuple[CxxInfo, ...] = ()  # libraries whose headers come with its own
    hidden: tuple[CxxInfo, ...] = ()  # libraries that it only links
    contents: frozenset[CxxInfo] = frozenset()  # libraries whose code its shared library has
    notes: tuple[tuple[str, Artifact], ...] = ()  # what `gcov` wants to know of its objects
    # A folder with `include`, `lib` and so on, at its path, where it was installed into one.
    prefix: tuple[str, Artifact] | None = None
    # Itself and all below it, dependents before dependencies: by headers, and by code.
    shown: tuple[CxxInfo, ...] = field(init=False, repr=False)
    linked: tuple[CxxInfo, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shown = (self, *closure(self.deps))
        linked = (self, *linked_closure((*self.deps, *self.hidden)))
        object.__setattr__(self, "shown", shown)
        object.__setattr__(self, "linked", shown if linked == shown else linked)


def closure(libraries: Iterable[CxxInfo]) -> tuple[CxxInfo, ...]:
    """The libraries whose headers are seen through these, dependents before dependencies.

    Siblings keep their order. What lies below each is known already: no graph is walked.
    """
    return _merged([info.shown for info in libraries])


def linked_closure(libraries: Iterable[CxxInfo]) -> tuple[CxxInfo, ...]:
    """The libraries whose code these need, dependents before dependencies."""
    return _merged([info.linked for info in libraries])


def _merged(closures: Sequence[tuple[CxxInfo, ...]]) -> tuple[CxxInfo, ...]:
    """One closure of several: each reversed is what a depth-first walk leaves behind it."""
    last_first = chain.from_iterable(reversed(each) for each in reversed(closures))
    return tuple(reversed(dict.fromkeys(last_first)))


@dataclass(frozen=True, slots=True)
class Runnable:
    """How a target is started once its package root is there."""

    entry_point: str  # path of the launcher in the package root
    interpreter: str = ""  # `python3.11`; empty for native programs
    identity: str = ""  # of the interpreter, as a toolchain
    mounts: tuple[str, ...] = ()  # folders of the machine that the interpreter needs
    program: tuple[str, ...] = ()  # argv of a native program that does without the launcher


@dataclass(frozen=True, slots=True)
class TestInfo:
    """How a target is tested; the program is its `Runnable`, which passes by exit code 0."""

    __test__: ClassVar[bool] = False  # its name looks to pytest like one of its own

    size: str = "medium"
    timeout: int = 300  # seconds
    flaky: bool = False  # whether it is tried again when it fails
    shards: int = 1  # processes that its test cases are split over
    inherited: tuple[str, ...] = ()  # variables of lamina's own environment that it sees
    tags: tuple[str, ...] = ()
    language: str = ""  # `py`, `cc`, `sh`
    built: tuple[Artifact, ...] = ()  # what has to be there, though the program does not look at it

    @property
    def exclusive(self) -> bool:
        """Whether no other test may run at the same time."""
        return not {"exclusive", "exclusive-if-local"}.isdisjoint(self.tags)

    @property
    def network(self) -> bool:
        """Whether it may use the network."""
        return not {"requires-network", "no-sandbox", "local"}.isdisjoint(self.tags)

    @property
    def remembered(self) -> bool:
        """Whether it need not run again once it has passed."""
        return {"external", "no-cache"}.isdisjoint(self.tags)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where files come from that others have written: what a bill of materials tells."""

    name: str
    version: str = ""
    ecosystem: str = "generic"  # type of a package URL: `pypi`
    address: str = ""
    sha256: str = ""  # of what lies there, 64 hexadecimal digits
    file: Artifact | None = None  # the same, where it has no address


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """A base image: its files, by path, or where it lies; and which of the images is meant."""

    files: tuple[tuple[str, Artifact], ...]
    tag: str = ""
    architecture: str = ""
    reference: str = ""  # `host/repository@sha256:…`; then it has no files


@dataclass(frozen=True, slots=True)
class JobInfo:
    """How a program is run as a job."""

    binary: Label
    spec: Spec


@dataclass(frozen=True, slots=True)
class Analysed:
    """A target after analysis: all that others may take from it."""

    label: Label
    files: tuple[tuple[str, Artifact], ...] = ()  # its outputs, by path from the workspace root
    own: Mapping[str, Artifact] = field(default_factory=dict)  # by path in the package root
    runtime: tuple[Label, ...] = ()  # whose files it needs at run time, in declared order
    imports: tuple[str, ...] = ()  # further Python import roots, by path in the package root
    cxx: CxxInfo | None = None
    notes: tuple[
        tuple[str, Artifact], ...
    ] = ()  # of a C++ program built with `--coverage`: `.gcno`
    runnable: Runnable | None = None
    test: TestInfo | None = None
    setting: object = None  # the value of a build setting
    origin: Origin | None = None
    unfit: str = ""  # why nobody here can use it; others may mention it all the same
    image: ImageInfo | None = None
    job: JobInfo | None = None
    base: Label | None = None  # the image whose layers lie below those of its package
