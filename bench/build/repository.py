"""A generated repository on the disk, and the edits of its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bench.build import texts
from bench.build.shape import MODULUS, Rule, Shape, Target, needs
from bench.build.texts import Dialect, View


@dataclass(slots=True)
class Repository:
    """What lies in a folder. Each edit writes one file, with what it never held before."""

    root: Path
    shape: Shape
    dialect: Dialect = Dialect.BAZEL
    _constants: dict[int, int] = field(default_factory=dict)  # those that were edited
    _weights: dict[int, int] = field(default_factory=dict)
    _extra: dict[int, tuple[Target, ...]] = field(default_factory=dict)
    _comments: dict[str, int] = field(default_factory=dict)  # package -> how many

    def write(self) -> None:
        """Write all files; the folder is new."""
        self.root.mkdir(parents=True)
        (self.root / "lamina.toml").write_text('[workspace]\nname = "bench"\n')
        if self.dialect is Dialect.BAZEL:
            (self.root / "WORKSPACE").write_text('workspace(name = "bench")\n')
        for package, targets in self.shape.packages.items():
            (self.root / package).mkdir(parents=True)
            self._write_build_file(package)
            for target in targets:
                for path, text in texts.sources(self._view(target)).items():
                    (self.root / path).write_text(text)

    def edit_source(self, target: Target) -> None:
        """Another constant in the source of a library."""
        self._constants[target.index] = self._constant(target) + 1
        self._rewrite(target, ".cc" if target.rule.cxx else ".py")

    def edit_header(self, target: Target) -> None:
        """Another weight in the header of a C++ library."""
        self._weights[target.index] = self._weight(target) + 1
        self._rewrite(target, ".h")

    def edit_comment(self, target: Target) -> None:
        """One more comment in the BUILD file of a target."""
        self._comments[target.package] = self._comments.get(target.package, 0) + 1
        self._write_build_file(target.package)

    def add_dep(self, target: Target) -> None:
        """One more dependency in the BUILD file of a target, of which the source makes no use."""
        extra = self._extra.get(target.index, ())
        known = {*target.deps, *(each.index for each in extra)}
        others = (
            each
            for each in self.shape.targets[: target.index]
            if each.rule is target.rule and each.layer < target.layer and each.index not in known
        )
        self._extra[target.index] = (*extra, next(others))
        self._write_build_file(target.package)

    def value(self, target: Target) -> int:
        """What a target's value is with the files as they are now."""
        values: dict[int, int] = {}
        for index in sorted(_below(target, self.shape)):
            each = self.shape.targets[index]
            total = self._constant(each) + sum(values[dep] for dep in needs(each))
            if each.rule.cxx:
                total += sum(self._weight(self.shape.targets[dep]) for dep in each.deps)
            values[index] = total % MODULUS
        return values[target.index]

    def above(self, target: Target) -> set[Target]:
        """A target and all that depend on it by the BUILD files as they are now."""
        found = self.shape.above(target.index)
        added = True
        while added:
            added = False
            for index, extra in self._extra.items():
                if index not in found and any(each.index in found for each in extra):
                    found |= self.shape.above(index)
                    added = True
        return {self.shape.targets[index] for index in found}

    def _constant(self, target: Target) -> int:
        return self._constants.get(target.index, target.constant)

    def _weight(self, target: Target) -> int:
        return self._weights.get(target.index, target.weight)

    def _view(self, target: Target) -> View:
        return View(
            target,
            self._constant(target),
            self._weight(target),
            tuple(self.shape.targets[dep] for dep in target.deps),
            self._extra.get(target.index, ()),
            None if target.table is None else self.shape.targets[target.table],
        )

    def _rewrite(self, target: Target, suffix: str) -> None:
        path = f"{target.package}/{target.name}{suffix}"
        (self.root / path).write_text(texts.sources(self._view(target))[path])

    def _write_build_file(self, package: str) -> None:
        views = [self._view(target) for target in self.shape.packages[package]]
        comments = [f"comment {n + 1}" for n in range(self._comments.get(package, 0))]
        text = texts.build_file(views, self.dialect, comments)
        (self.root / package / self.dialect.file).write_text(text)


def _below(target: Target, shape: Shape) -> set[int]:
    found, waiting = {target.index}, [target]
    while waiting:
        for dep in needs(waiting.pop()):
            if dep not in found:
                found.add(dep)
                waiting.append(shape.targets[dep])
    return found


def program_above(target: Target, shape: Shape) -> Target:
    """A program whose value depends on that of a library; the first there is."""
    for index in sorted(shape.above(target.index)):
        if shape.targets[index].rule in (Rule.CXX_BINARY, Rule.PYTHON_BINARY):
            return shape.targets[index]
    raise ValueError(f"no program depends on {target.label}")
