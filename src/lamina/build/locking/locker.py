"""Makes a lock: resolves requirements, and finds out what its sdists are built with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from lamina.build.locking import builds, indexes, platforms, requirements, uv
from lamina.build.locking.requirements import Wanted
from lamina.build.locking.uv import Request
from lamina.core.classes import dataclass, replace
from lamina.core.errors import UserError
from lamina.formats import pylock
from lamina.formats.pylock import Archive, Distribution, Lock, Settings

Fetch = Callable[[Archive], Path]
Fits = Callable[[Distribution], bool]


@dataclass(frozen=True, slots=True)
class Ground:
    """What locking stands on."""

    python: Path  # the interpreter of the workspace
    version: str  # `3.11`
    scratch: Path
    fetch: Fetch  # gives the file of an archive by its address
    fits: Fits  # whether a wheel of a distribution is for the interpreter
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Which versions need not stay as they are."""

    everything: bool = False
    names: tuple[str, ...] = ()


def lock(file: Path, settings: Settings, upgrade: Upgrade, ground: Ground) -> str:
    """The text of a lock file; `settings.inputs` are named from its folder.

    The versions of the lock that is there stay, where they are still good enough. Raises UserError.
    """
    base = file.parent
    inputs = [Path(os.path.normpath(base / name)) for name in settings.inputs]
    wanted = requirements.read(inputs, settings.extras, settings.groups)
    _add_settings_of_pip(wanted, ground)
    known = None if upgrade.everything else pylock.read(file)
    old = known.distributions if known else ()
    request = Request(
        wanted,
        ground.python,
        _requires_python(settings.python_version or ground.version),
        tuple(platforms.marker(each) for each in settings.platforms),
        tuple(each for each in old if each.version),
        upgrade.names,
    )
    found = _resolved(request, base, ground)
    return pylock.encode(
        Lock(tuple(found), request.requires_python, request.environments, settings)
    )


def _add_settings_of_pip(wanted: Wanted, ground: Ground) -> None:
    if indexes.asks_no_index(ground.environment):
        wanted.looking.setdefault("no-index", True)
    names = indexes.pip_settings(ground.environment).get("constraint", "").split()
    files = [Path(name) for name in names if "://" not in name]
    wanted.constraints += requirements.read([file for file in files if file.exists()]).requirements


def _requires_python(text: str) -> str:
    """A specifier of Python versions: `3.11` stands for every 3.11."""
    try:
        if text[:1].isdecimal():
            parts = text.split(".")
            text = f"=={text}.*" if len(parts) < 3 else f"=={text}"
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise UserError(
            f"no version of Python: `{text}`", hint="write `3.11`, or `>=3.11,<3.14` for several"
        ) from error
    return text


def _resolved(request: Request, base: Path, ground: Ground) -> list[Distribution]:
    """The distributions of a request, with all that is needed to build those without wheels."""
    tools: dict[tuple[str, str], tuple[str, ...]] = {}
    while True:
        folder = uv.scratch_project(ground.scratch)
        found = uv.resolve(request, folder, base, ground.environment)
        new = [each for each in found if _is_to_be_built(each, ground)]
        new = [each for each in new if (each.name, each.version) not in tools]
        if not new:
            return [_with_tools(each, tools, found) for each in found]
        for each in new:
            assert each.sdist is not None
            sdist = base / each.sdist.place if each.sdist.local else ground.fetch(each.sdist)
            tools[each.name, each.version] = builds.requirements(sdist)
        every = dict.fromkeys(text for texts in tools.values() for text in texts)
        request = replace(request, builds=tuple(every), keep=tuple(found), upgrade=())


def _is_to_be_built(each: Distribution, ground: Ground) -> bool:
    return each.sdist is not None and not ground.fits(each)


def _with_tools(
    each: Distribution,
    tools: Mapping[tuple[str, str], tuple[str, ...]],
    found: Sequence[Distribution],
) -> Distribution:
    """A distribution that says what it is built with, as the lock has it."""
    known = tools.get((each.name, each.version))
    if known is None:
        return each
    return replace(each, builds_with=tuple(dict.fromkeys(_pinned(text, found) for text in known)))


def _pinned(text: str, found: Sequence[Distribution]) -> str:
    """A requirement by the name of the lock, with its version where that has several."""
    wanted = Requirement(text)
    name = canonicalize_name(wanted.name)
    versions = [each.version for each in found if each.name == name]
    chosen = next((v for v in versions if wanted.specifier.contains(v, prereleases=True)), "")
    version = f"=={chosen}" if len(versions) > 1 and chosen else ""
    extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
    return f"{name}{extras}{version}" + (f" ; {wanted.marker}" if wanted.marker else "")
