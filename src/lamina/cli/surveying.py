"""What the history says of the layers of a package: for `lamina layers`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from lamina.cli import layering
from lamina.cli.layering import Trunk
from lamina.cli.pipeline import Packaged
from lamina.cli.session import Session
from lamina.core.classes import dataclass
from lamina.core.errors import UserError
from lamina.core.manifest import Layer
from lamina.packaging import grouping, history, replay
from lamina.packaging.grouping import Layout, Member
from lamina.packaging.replay import LayoutAt, Shipped, Trial

_RECENT = 200  # commits by which a layer's churn is told


@dataclass(frozen=True, slots=True)
class Shown:
    """A layer, and how it fared of late."""

    layer: Layer
    sizes: tuple[int, ...]  # of the own files of the targets in it, bytes
    commits: int  # that were looked at
    touched: int  # of these, those that touched it

    @property
    def churn(self) -> float:
        """The part of the commits that touched it."""
        return self.touched / self.commits if self.commits else 0.0

    @property
    def expected(self) -> float:
        """Bytes that it ships for a commit, on average."""
        return self.churn * self.layer.blob.size


def shown(session: Session, made: Packaged) -> list[Shown]:
    """The layers of a surveyed package, bottom first."""
    found = layering.trunk(session)
    commits = history.read(found.repository, found.head, _RECENT) if found else []
    steps = _steps(made.members, (commit.files for commit in commits))
    sizes = dict(zip((member.name for member in made.members), made.sizes, strict=True))
    return [
        Shown(
            layer,
            tuple(sizes[label] for label in layer.held),
            len(commits),
            sum(not step.isdisjoint(layer.held) for step in steps),
        )
        for layer in made.package.layers
    ]


def replayed(session: Session, made: Packaged, count: int) -> list[Shipped]:
    """What each way of grouping ships for the last commits; raises UserError for too few."""
    found = layering.trunk(session)
    if found is None:
        raise UserError(
            f"`{session.root}` has no history: it is under neither git nor Mercurial",
            hint="`git init`, and commit what there is",
        )
    cut = found.count - count
    if cut < 1:
        raise UserError(
            f"{count} commits cannot be replayed: there are {found.count}, and some to learn from",
            hint=f"`--replay {max(1, found.count // 3)}`; a shallow clone has few",
        )
    most = layering.chosen(session)[1]
    lesson = layering.lesson(found, cut)
    commits = history.read(found.repository, found.head, count)
    known = frozenset(m.name for m in made.members if grouping.is_known(m, lesson))
    trial = Trial(
        members=made.members,
        sizes=dict(zip((m.name for m in made.members), made.sizes, strict=True)),
        known=known,
        steps=tuple(_steps(made.members, (commit.files for commit in commits))),
        needs=_needs(made),
    )
    layout = grouping.auto(made.members, [lesson], most)
    return replay.compare(trial, most, layout, _going(found, made.members, cut, most))


def _going(found: Trunk, members: Sequence[Member], cut: int, most: int) -> LayoutAt:
    """The layout that `auto` gives at each commit from a cut on."""

    @cache
    def at(anchors: tuple[int, ...]) -> Layout:
        return grouping.auto(members, layering.lessons_at(found, anchors), most)

    return lambda number: at(grouping.anchors(cut + number))


def _steps(members: Sequence[Member], commits: Iterable[Sequence[str]]) -> list[frozenset[str]]:
    """The targets that each commit touches."""
    readers = grouping.readers_of(members)
    return [
        frozenset(members[number].name for number in grouping.touched_by(files, readers))
        for files in commits
    ]


def _needs(made: Packaged) -> Mapping[str, set[str]]:
    """For each target those that it needs at run time."""
    return {str(each.label): set(map(str, each.runtime)) for each in made.order}
