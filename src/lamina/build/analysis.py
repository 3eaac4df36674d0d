"""From targets to actions: each rule's implementation is called once, dependencies first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from operator import itemgetter
from typing import TypeVar

from lamina.build import placement
from lamina.build.cellmap import NO_CELLS, Cells
from lamina.build.configuration import DEFAULT, Configuration
from lamina.build.declare import named_outputs, outputs
from lamina.build.disk import join
from lamina.build.faults import Fault, FaultReport, Place, Tolerance
from lamina.build.providers import Analysed, CxxInfo
from lamina.build.target import Target
from lamina.build.toolchains import Toolchains
from lamina.core.action import Action, Artifact, Output, Source
from lamina.core.classes import dataclass, replace
from lamina.core.errors import IntegrityError, UserError
from lamina.core.label import Label
from lamina.core.tree import check_path, under

T = TypeVar("T")
_BASE = "base_image"  # an attribute that every rule has
Locate = Callable[[Target, Label | None, str], Place]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that an attribute names."""

    path: str  # within the build package of the target that names it, where it lies in or was put
    full: str  # the same from the workspace root
    artifact: Artifact
    label: Label  # as it was named


class RuleFault(UserError):
    """A target that its rule cannot make sense of, by a label or an attribute, if that is known."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        mention: Label | None = None,
        attribute: str = "",
        place: Place | None = None,
    ) -> None:
        """`place` is that of the fault where it does not lie in a BUILD file."""
        super().__init__(message, hint=hint)
        self.mention = mention
        self.attribute = attribute
        self.place = place


class Context:
    """What a rule's implementation is given: one target, what its dependencies handed out."""

    def __init__(
        self,
        target: Target,
        analysed: Mapping[Label, Analysed],
        toolchains: Toolchains,
        configuration: Configuration = DEFAULT,
        cells: Cells = NO_CELLS,
    ) -> None:
        self.target = target
        self.label = target.label
        self.toolchains = toolchains
        self.configuration = configuration
        self.cells = cells
        # Folders of the cell that the target is in and of its build package, from the root.
        self.root = cells.folder(self.label.cell)
        self.folder = cells.folder(self.label.cell, self.label.package)
        self._analysed = self.analysed = analysed

    @property
    def program_name(self) -> str:
        """What the target's program is called: the last part of its name."""
        return self.label.name.rpartition("/")[2]

    def launcher_name(self, own: Iterable[str], runtime: Iterable[Label]) -> str:
        """What its launcher is called, beside its own files and those of what it needs.

        That of `//app:app` is `app.sh` where files lie in a folder `app` of the package root. For
        any other name it would be dear to look, and it is said when the layers meet.
        """
        name = self.program_name
        if self.label.package.partition("/")[0] != name:
            return name
        below = (self._analysed[label] for label in runtime)
        parts = (part for dep in below for part in self.runtime_closure(dep))
        paths = chain(own, *(part.own for part in parts))
        return f"{name}.sh" if any(path.startswith(f"{name}/") for path in paths) else name

    def text(self, name: str) -> str:
        """A string attribute."""
        return self._get(name, str)

    def flag(self, name: str) -> bool:
        """A boolean attribute."""
        return self._get(name, bool)

    def number(self, name: str) -> int:
        """An integer attribute."""
        return self._get(name, int)

    def texts(self, name: str) -> tuple[str, ...]:
        """An attribute that is a list of strings."""
        return self._get(name, tuple)

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """An attribute that is a dict of strings, in declared order."""
        return self._get(name, tuple)

    def lists(self, name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """An attribute that is a dict of lists of strings, in declared order."""
        return self._get(name, tuple)

    def marked(self, name: str) -> tuple[tuple[Label, str], ...]:
        """An attribute that is a dict of label to string, in declared order."""
        return self._get(name, tuple)

    def given(self, name: str) -> bool:
        """Whether the BUILD file set the attribute."""
        return name in self.target.given

    def label_of(self, name: str) -> Label | None:
        """An attribute that is one label."""
        value = self.target.attributes[name]
        assert value is None or isinstance(value, Label)
        return value

    def deps(self, *names: str) -> list[Analysed]:
        """What the targets in these label lists handed out, in declared order, each once."""
        found: dict[Label, Analysed] = {}
        for name in names:
            for label in self._get(name, tuple):
                if label not in self._analysed:
                    raise RuleFault(
                        f"`{label}` in `{name}` is a file or folder, and it takes targets",
                        hint="give it in `srcs` or `data`, or name a target that has it",
                        mention=label,
                    )
                found[label] = self.usable(label)
        return list(found.values())

    def usable(self, label: Label) -> Analysed:
        """What a target handed out; raises RuleFault for one that nobody here can use."""
        target = self._analysed[label]
        if target.unfit:
            raise RuleFault(target.unfit, mention=label)
        return target

    def dep(self, label: Label) -> Analysed | None:
        """What a target this one mentions handed out; None for a file."""
        return self._analysed.get(label)

    def sources(self, *names: str) -> list[SourceFile]:
        """The files of these attributes, in declared order; a target stands for its outputs."""
        found: list[SourceFile] = []
        for name in names:
            for path, label, *_ in self._get(name, tuple):
                found.extend(self._files(path, label))
        return found

    def files(self, label: Label, path: str = "") -> list[SourceFile]:
        """The files that a label this target mentions stands for, the only one put at a path."""
        return self._files(path or label.name, label)

    def data(self, *names: str) -> tuple[list[SourceFile], list[Analysed]]:
        """The files of these attributes, and the targets among them that bring layers.

        A target with own files is needed whole, as a layer; of any other, its outputs are.
        """
        carried: dict[Label, Analysed] = {}
        for label in (label for name in names for label in self.labels(name)):
            target = self._analysed.get(label)
            if target is not None and (target.own or target.runtime or target.unfit):
                carried[label] = self.usable(label)
        whole = {label for label, target in carried.items() if target.own}
        plain = [source for source in self.sources(*names) if source.label not in whole]
        return plain, list(carried.values())

    def libraries(self, *names: str) -> tuple[list[Analysed], tuple[CxxInfo, ...]]:
        """The targets in these label lists, each of which must be a C or C++ library."""
        deps = self.deps(*names)
        for dep in deps:
            if dep.cxx is None:
                raise RuleFault(f"`{dep.label}` is not a C or C++ library", mention=dep.label)
        return deps, tuple(dep.cxx for dep in deps if dep.cxx is not None)

    def source(self, name: str) -> SourceFile | None:
        """The one file of a SOURCE attribute, or None where it was not given."""
        label = self.label_of(name)
        if label is None:
            return None
        files = self._files(label.name, label)
        if len(files) != 1:
            raise RuleFault(f"`{label}` in `{name}` is not one file", mention=label)
        return files[0]

    def module_folder(self, name: str) -> str:
        """The folder that a dotted Python module path stands for; the build package by default."""
        if not self.given(name):
            return self.label.package
        module = self.text(name)
        if module and not all(part.isidentifier() for part in module.split(".")):
            raise RuleFault(
                f'`{name} = "{module}"` is not a Python package',
                hint='write it with dots, as in `"a.b"`; `""` is the root',
                attribute=name,
            )
        return module.replace(".", "/")

    def labels(self, name: str) -> tuple[Label, ...]:
        """The labels of a SOURCES attribute, each once."""
        return tuple(dict.fromkeys(label for _, label, *_ in self._get(name, tuple)))

    def runtime_closure(self, root: Analysed) -> list[Analysed]:
        """All whose own files a target needs when it runs, what is depended on first."""
        return [self._analysed[label] for label in runtime_order(root.label, self._analysed)]

    def root_of(self, program: Analysed, folder: str) -> list[tuple[str, Artifact]]:
        """The package root of a target, put at a path of an action's inputs."""
        parts = self.runtime_closure(program)
        return [(under(folder, path), file) for part in parts for path, file in part.own.items()]

    @property
    def placement(self) -> tuple[str, ...]:
        """What limits where the actions of the target run."""
        tags = self.target.attributes.get("tags")
        return placement.of(tags) if isinstance(tags, tuple) else ()

    def in_package(self, path: str) -> str:
        """A path in this target's build package, from the workspace root."""
        return join(self.folder, path)

    def action(
        self,
        mnemonic: str,
        arguments: Iterable[str],
        inputs: Mapping[str, Artifact],
        outputs: Iterable[str],
        *,
        toolchain: str = "",
        subject: str = "",
        mounts: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        roots: Iterable[tuple[str, Artifact]] = (),
    ) -> Action:
        """An action of this target.

        `roots` are inputs too, those of package roots: a folder that several targets make is there
        several times, in parts.
        """
        return Action(
            mnemonic,
            str(self.label),
            tuple(arguments),
            tuple(sorted(dict.fromkeys((*inputs.items(), *roots)), key=itemgetter(0))),
            tuple(outputs),
            tuple(sorted((environment or {}).items())),
            toolchain,
            subject,
            tuple(dict.fromkeys(mounts)),
            placement=self.placement,
        )

    def _files(self, path: str, label: Label) -> list[SourceFile]:
        target = self._analysed.get(label)
        if target is None:
            source = Source(join(self.cells.folder(label.cell, label.package), label.name))
            return [self._file(path, label, source.path, source)]
        if len(target.files) == 1 and path != label.name:
            return [self._file(path, label, self.in_package(path), target.files[0][1])]
        return [
            self._file(_relative(full, self._folder(label)), label, full, artifact)
            for full, artifact in target.files
        ]

    def _file(self, path: str, label: Label, full: str, artifact: Artifact) -> SourceFile:
        if path != label.name:
            full = self.in_package(path) if self._folder(label) == self.folder else full
        return SourceFile(path, full, artifact, label)

    def _folder(self, label: Label) -> str:
        return self.cells.folder(label.cell, label.package)

    def _get(self, name: str, kind: type[T]) -> T:
        value = self.target.attributes[name]
        assert isinstance(value, kind), (self.label, name, value)
        return value


def _relative(full: str, package: str) -> str:
    return full.removeprefix(f"{package}/") if package else full


def analyse(
    targets: Mapping[Label, Target],
    toolchains: Toolchains,
    locate: Locate,
    configuration: Configuration = DEFAULT,
    cells: Cells = NO_CELLS,
    tolerance: Tolerance | None = None,
) -> dict[Label, Analysed]:
    """Analyse a closed set of targets, each of which comes after those it depends on.

    `locate` tells where a target is declared, or mentions a label. Raises one FaultReport for all
    faults; where these are put up with, there is nothing of the targets that have them.
    """
    analysed: dict[Label, Analysed] = {}
    faults: list[Fault] = []
    failed: set[Label] = set()  # targets and what they would have made
    for label, target in targets.items():
        if failed and not failed.isdisjoint(target.dependencies()):
            failed.update(_of(target))
            continue
        try:
            context = Context(target, analysed, toolchains, configuration, cells)
            result = target.rule.implementation(context)
            assert isinstance(result, Analysed)
            _check_paths(result)
            result = _on_base(target, result, analysed)
        except UserError as error:
            at = error if isinstance(error, RuleFault) else RuleFault("")
            place = locate(target, at.mention, at.attribute)
            hint = error.hint or (f"the target is declared at `{place}`" if at.place else "")
            faults.append(Fault(at.place or place, f"`{label}`: {error.message}", hint))
            failed.update(_of(target))
            continue
        analysed[label] = result
        _add_outputs(result, analysed, cells)
        _add_named(target, analysed, cells)
    if faults and tolerance is None:
        raise FaultReport(faults)
    if tolerance is not None:
        tolerance.faults += faults
        tolerance.lost |= failed
    return analysed


def _of(target: Target) -> list[Label]:
    """The labels of a target and of the files that it makes."""
    names = [*outputs(target), *(name for name, _ in named_outputs(target))]
    return [target.label, *(Label(target.label.cell, target.label.package, n) for n in names)]


def _on_base(target: Target, result: Analysed, analysed: Mapping[Label, Analysed]) -> Analysed:
    """A target with the base image that it names."""
    base = target.attributes.get(_BASE)
    if not isinstance(base, Label) or _BASE in target.rule.attributes:
        return result
    known = analysed.get(base)
    if known is None or known.image is None:
        raise RuleFault(
            f"`{base}` is no image", hint="a `base_image` is one", mention=base, attribute=_BASE
        )
    return replace(result, base=known.label)


def _check_paths(target: Analysed) -> None:
    """Raises RuleFault where a file would lie outside of its folder, as by `base_module = ".."`."""
    for path in (*(full for full, _ in target.files), *target.own):
        try:
            check_path("whole" if path == "." else path)
        except IntegrityError:
            hint = "`base_module`, `soname` and paths of files lead to no other folder"
            raise RuleFault(
                f"its file `{path}` would lie outside of the package", hint=hint
            ) from None


def _add_outputs(target: Analysed, analysed: dict[Label, Analysed], cells: Cells) -> None:
    """Let each single output be named by its own label, as `:gen.h` of genrule `:gen`."""
    cell, package = target.label.cell, target.label.package
    for full, artifact in target.files:
        label = Label(cell, package, _relative(full, cells.folder(cell, package)))
        if not isinstance(artifact, Source):
            analysed.setdefault(label, Analysed(label, files=((full, artifact),)))


def _add_named(target: Target, analysed: dict[Label, Analysed], cells: Cells) -> None:
    """Let the outputs of a dict be named by their key, as `:x[name]`."""
    cell, package = target.label.cell, target.label.package
    files: dict[Label, list[tuple[str, Artifact]]] = {}
    for name, path in named_outputs(target):
        full = join(cells.folder(cell, package), path)
        made = _made(analysed[target.label], full)
        if made is not None:
            files.setdefault(Label(cell, package, name), []).append((full, made))
    for label, own in files.items():
        analysed[label] = Analysed(label, files=tuple(own))


def _made(target: Analysed, path: str) -> Artifact | None:
    """What a target makes at a path, perhaps within a folder."""
    for full, artifact in target.files:
        if full == path:
            return artifact
        if isinstance(artifact, Output) and path.startswith(f"{full}/"):
            return Output(artifact.action, artifact.path + path[len(full) :])
    return None


def runtime_order(root: Label, analysed: Mapping[Label, Analysed]) -> list[Label]:
    """The targets whose own files `root` needs, each once, dependencies before dependents.

    Siblings keep the order of the BUILD file, so one graph always gives one stack.
    """
    order: dict[Label, None] = {}
    seen: set[Label] = set()
    stack = [(root, False)]
    while stack:
        label, done = stack.pop()
        if done:
            order[label] = None
        elif label not in seen:
            seen.add(label)
            stack.append((label, True))
            stack.extend((dep, False) for dep in reversed(analysed[label].runtime))
    return list(order)
