"""Histories to try groupings on: those of repositories, and one made by a random process."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lamina.core.errors import UserError
from lamina.linux import vcs
from lamina.packaging import history

_NEED = re.compile(
    r'^[ \t]*(?:#[ \t]*include[ \t]+["<]([^">]+)[">]'
    r"|from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w.]+))",
    re.MULTILINE,
)
Sizes = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Past:
    """The commits of a trunk, oldest first, and the files that there are at its end."""

    name: str
    commits: tuple[tuple[str, ...], ...]
    sizes: Sizes
    sizes_at: Callable[[int], Sizes]  # of the files after so many commits
    texts: Iterable[tuple[str, str]] = field(default=(), repr=False)

    def needs(self) -> dict[str, set[str]]:
        """Which files name which others, by the includes and imports in them."""
        ends: dict[str, list[str]] = {}
        for path in self.sizes:
            parts = path.split("/")
            for count in range(1, len(parts) + 1):
                ends.setdefault("/".join(parts[-count:]), []).append(path)
        found: dict[str, set[str]] = {}
        for path, text in self.texts:
            for words in _NEED.findall(text):
                for wanted in _names(*words):
                    places = ends.get(wanted, ())
                    if len(places) == 1 and places[0] != path:
                        found.setdefault(path, set()).add(places[0])
        return found


def _names(include: str, package: str, module: str) -> list[str]:
    if include:
        return [include.lstrip("./")]
    path = (package or module).strip(".").replace(".", "/")
    return [f"{path}.py", f"{path}/__init__.py"]


def of_repository(folder: Path) -> Past:
    """The history of a checkout, or of a bare repository."""
    found = vcs.find(folder.resolve()) or _bare(folder)
    head = vcs.commit_of(found, "HEAD" if found.tool == "git" else ".")
    commits = history.read(found, head, history.count(found, head))
    sizes = history.sizes(found, head)

    def sizes_at(count: int) -> Sizes:
        return history.sizes(found, commits[count - 1].id) if count else {}

    texts = (
        (path, vcs.content(found, head, path).decode(errors="replace"))
        for path in sizes
        if path.endswith((".py", ".c", ".cc", ".cpp", ".h", ".hpp", ".pyi"))
    )
    name = folder.resolve().name
    return Past(name, tuple(commit.files for commit in commits), sizes, sizes_at, texts)


def _bare(folder: Path) -> vcs.Repository:
    if not (folder / "HEAD").is_file():
        raise UserError(f"`{folder}` is in no repository of git or Mercurial")
    return vcs.Repository(folder.resolve(), "git")


def made(seed: int = 1, targets: int = 5000, commits: int = 3000) -> Past:
    """A history as large repositories have it, made by a random process.

    Files lie in modules; a few are changed often (Zipf), most hardly ever. A commit touches some
    files of one module, at times of two that belong together though they lie apart; where work is
    done drifts. Now and then all files of a kind change at once.
    """
    random_ = random.Random(seed)
    paths = [f"src/m{number % 150:03}/f{number:05}.py" for number in range(targets)]
    sizes = {path: int(random_.lognormvariate(8.5, 1.3)) + 50 for path in paths}
    born = {path: max(0, int(random_.triangular(-commits, commits, 0))) for path in paths}
    heat = {path: 1.0 / (1 + random_.randrange(targets // 10)) for path in paths}
    modules = [paths[number::150] for number in range(150)]
    friends = {number: random_.randrange(150) for number in range(150)}
    ranks = random_.sample(range(150), 150)
    steps: list[tuple[str, ...]] = []
    for step in range(commits):
        if step % 200 == 0:  # interest moves on
            first, second = random_.sample(range(150), 2)
            ranks[first], ranks[second] = ranks[second], ranks[first]
        module = random_.choices(range(150), [1 / (1 + rank) for rank in ranks])[0]
        places = [module, friends[module]] if random_.random() < 0.3 else [module]
        touched = {path for path, at in born.items() if at == step}
        for place in places:
            there = [path for path in modules[place] if born[path] <= step]
            if there:
                number = min(len(there), 1 + int(random_.expovariate(0.6)))
                touched |= set(random_.choices(there, [heat[p] for p in there], k=number))
        if random_.random() < 0.003:
            touched |= {path for path in paths[:: random_.randrange(2, 9)] if born[path] <= step}
        steps.append(tuple(sorted(touched)))

    def sizes_at(count: int) -> Sizes:
        return {path: size for path, size in sizes.items() if born[path] < count or not born[path]}

    return Past("made at random", tuple(steps), sizes, sizes_at)
