"""Which targets of a package share a layer: what grouping is told of them, and of the history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.cli import output
from lamina.core.action import Source
from lamina.core.classes import dataclass
from lamina.core.tree import File, Tree
from lamina.packaging import grouping
from lamina.packaging.grouping import AUTO, PER_TARGET, Layout, Lesson, Member

if TYPE_CHECKING:
    from lamina.build.providers import Analysed
    from lamina.build.workspace import Workspace
    from lamina.cli.session import Session
    from lamina.core.action import Artifact
    from lamina.linux.vcs import Repository
    from lamina.packaging.layers import OwnFiles

_COMPILED = "__pycache__"  # what is in it changes and grows with its source, which is counted


@dataclass(frozen=True, slots=True)
class Trunk:
    """The repository that a workspace lies in, and its history up to what is checked out."""

    repository: Repository
    head: str
    count: int  # commits, on the line of first parents


def chosen(session: Session) -> tuple[str, int]:
    """How to group, and how many layers there may be at most."""
    options, workspace = session.options, session.workspace
    strategy = options.grouping or workspace.grouping or PER_TARGET
    return strategy, options.most_layers or workspace.most_layers or grouping.MOST


def groups(session: Session) -> bool:
    """Whether targets are grouped at all."""
    return chosen(session)[0] != PER_TARGET


def learns(session: Session) -> bool:
    """Whether the layout depends on the history, and on sizes."""
    return chosen(session)[0] == AUTO


def learnt_size(session: Session, files: Iterable[tuple[str, Artifact]], tree: Tree) -> int:
    """What the layout depends on of a target's files as they are now."""
    return made(files, tree) if learns(session) else 0


def layout(session: Session, members: Sequence[Member]) -> Layout:
    """The groups of some targets; those that are alone are in none."""
    strategy, most = chosen(session)
    if strategy != AUTO:
        found = grouping.rules(strategy, members)
    else:
        with session.phase("learning which targets change together"):
            found = grouping.auto(members, lessons(session), most)
    return tuple(group for group in found if len(group) > 1)


def basis(session: Session) -> list[str]:
    """What the layout depends on besides the targets: the commits up to which it is learnt."""
    found = trunk(session) if learns(session) else None
    return [] if found is None else _anchors(found)


def trunk(session: Session) -> Trunk | None:
    """The history of the workspace; None where there is none."""
    from lamina.linux import vcs
    from lamina.packaging import history

    repository = vcs.find(session.root)
    head = history.head(repository) if repository else ""
    if repository is None or not head:
        return None
    return Trunk(repository, head, history.count(repository, head))


def lessons(session: Session) -> list[Lesson]:
    """What there is to learn from, up to each anchor; nothing without version control."""
    from lamina.packaging import history

    found = trunk(session)
    if found is None:
        return []
    if history.is_shallow(found.repository):
        output.warning(
            "a shallow clone has little history: `auto` cuts other layers than in a full one"
        )
    return lessons_at(found, grouping.anchors(found.count))


def lessons_at(found: Trunk, ends: Sequence[int]) -> list[Lesson]:
    """A lesson up to each of some numbers of commits."""
    return [lesson(found, end, end - before) for before, end in pairwise((0, *ends))]


def lesson(found: Trunk, end: int, new: int = 0) -> Lesson:
    """The history up to so many commits, the last of which are new."""
    from lamina.packaging import history

    last = _commit(found, end)
    commits = history.read(found.repository, last, grouping.WINDOW)
    files = tuple(commit.files for commit in commits)
    return Lesson(files, history.sizes(found.repository, last), min(new, len(files)))


def _anchors(found: Trunk) -> list[str]:
    return [_commit(found, end) for end in grouping.anchors(found.count)]


def _commit(found: Trunk, end: int) -> str:
    from lamina.packaging import history

    return history.nth(found.repository, found.head, found.count - end)


def members(
    session: Session, targets: Sequence[Analysed], own: Sequence[OwnFiles]
) -> tuple[Member, ...]:
    """What grouping is to know of targets and their own files, which come in the same order."""
    from lamina.build.layersources import layer_sources
    from lamina.linux import vcs

    repository = vcs.find(session.root)
    place = _Places(session.workspace, repository.folder if repository else session.root)
    sources = layer_sources(targets)
    return tuple(
        Member(
            name=files.label,
            package=f"{target.label.cell}//{target.label.package}",
            sources=frozenset(place.all(sources[target.label])),
            carried=tuple(place.all(_carried(target.own.items(), files.tree))),
            made=made(target.own.items(), files.tree),
        )
        for target, files in zip(targets, own, strict=True)
    )


def made(files: Iterable[tuple[str, Artifact]], tree: Tree) -> int:
    """Bytes of those own files that no repository has, each rounded."""
    carried = set(_carried(files, tree).values())
    return sum(
        grouping.rounded(node.digest.size)
        for path, node in tree.items()
        if path not in carried and isinstance(node, File) and _COMPILED not in path.split("/")
    )


def _carried(files: Iterable[tuple[str, Artifact]], tree: Tree) -> Mapping[str, str]:
    """The sources among own files, each with its path in the package root."""
    found: dict[str, str] = {}
    for path, artifact in files:
        if isinstance(artifact, Source):
            whole = path in tree  # else it is a folder
            inner = [path] if whole else [each for each in tree if each.startswith(f"{path}/")]
            found |= {artifact.path + each[len(path) :]: each for each in inner}
    return found


class _Places:
    """Sources by their path in the repository; those outside of it are not in its history."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self._locate = workspace.locate
        self._folder = f"{folder}/"

    def all(self, paths: Iterable[str]) -> Iterator[str]:
        places = map(self._locate, sorted(paths))
        return (p.removeprefix(self._folder) for p in places if p.startswith(self._folder))
