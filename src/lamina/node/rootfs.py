"""The root file system of a container, attached at a folder of the bundle.

Without a base image it is this machine's, read-only, with the package below `/packages`; `/run` and
`/tmp` are empty ones: what listens in the machine's (its container engines, its message bus) must
not be reached from inside. With a base image it is that.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamina.core.container import Bind, Container, Tmpfs
from lamina.core.errors import HostError, UserError
from lamina.core.manifest import Package
from lamina.core.places import OWN, ROOT, WRITTEN
from lamina.linux import namespaces, syscalls
from lamina.node import based, mounts, walls

NAMES = Path("/etc/resolv.conf")


def covered(at: Path | None = None) -> tuple[Tmpfs, ...]:
    """The folders in memory that every container has; `at`: of those that a base image has."""
    all_of_them = (Tmpfs("/run", mode=0o755), Tmpfs("/tmp"))
    return tuple(each for each in all_of_them if at is None or (at / each.target[1:]).is_dir())


def shown() -> tuple[Bind, ...]:
    """What of the machine's `/run` is needed all the same: who answers for names."""
    real = os.path.realpath(NAMES)
    return (Bind(real, real, read_only=True),) if real.startswith("/run/") else ()


def attach(
    driver: mounts.Driver,
    package: Package,
    images: Sequence[Path],
    bundle: Path,
    container: Container,
    upper: mounts.Upper | None = None,
) -> None:
    """Attach the root at a folder of the bundle; in a mount namespace of this process's own.

    With an upper a base image is writable; so is the package, which `written` tells of without one.
    """
    at = bundle / ROOT
    paths = [image.absolute() for image in images]
    if not package.base_layers:
        top = driver.stack(paths, upper)
        if upper is not None:
            top = _closed(top, bundle)
        attach_host(at, {package.title: top}, container)
        return
    root, top = based.stacked(driver, package.title, paths, package.base_layers, upper)
    try:
        syscalls.move_mount(root, str(at))
        syscalls.move_mount(top, str(at / "packages" / package.title))
    except OSError as error:
        raise mounts.refused(f"the root of `{package.title}`", error) from error
    finally:
        os.close(root)
        os.close(top)
    if upper is None:  # else the runtime makes what is not there
        _check_places(container, at, {})


def _closed(top: int, bundle: Path) -> int:
    """Attach a writable package beside the root; a copy, of which all is closed with the root."""
    place = bundle / WRITTEN
    try:
        place.mkdir()
        syscalls.move_mount(top, str(place))
        return syscalls.open_tree(str(place))
    finally:
        os.close(top)


def written(package: Package, bundle: Path) -> Bind:
    """What shows a writable package in a root that is read-only."""
    return Bind(str(bundle / WRITTEN), f"/packages/{package.title}")


def attach_host(at: Path, packages: Mapping[str, int], container: Container) -> None:
    """Attach this machine's own root, read-only, with packages in it."""
    places = _new_places(container)
    try:
        namespaces.show_root(str(at), packages, OWN, places)
    except OSError as error:
        raise mounts.refused("the root of the container", error) from error
    _check_places(container, at, places)


def new_places(container: Container) -> list[tuple[str, str]]:
    """What is mounted below top-level folders that this machine does not have, and its kind."""
    kinds = {True: walls.FOLDER, False: walls.FILE}
    return [(target, kinds[is_folder]) for target, is_folder in _new_places(container).items()]


def _new_places(container: Container) -> dict[str, bool]:
    found = {}
    for target, is_folder in _targets(container).items():
        top = target.split("/")[1]
        if top not in OWN and not os.path.lexists(f"/{top}"):
            found[target] = is_folder
    return found


def _targets(container: Container) -> dict[str, bool]:
    """Where something is mounted, and whether it is a folder."""
    targets = {each.target: True for each in container.tmpfs}
    return targets | {each.target: Path(each.source).is_dir() for each in container.binds}


def _check_places(container: Container, at: Path, made: Mapping[str, bool]) -> None:
    """UserError for a place that is not there, and can not be made, as the root is read-only."""
    own = [f"/{name}" for name in OWN if (at / name).is_dir()]
    below = (*own, *(each.target for each in container.tmpfs))
    for target in _targets(container):
        if target in made or target in own or any(target.startswith(f"{each}/") for each in below):
            continue
        if not os.path.lexists(at / target[1:]):
            raise UserError(
                f"the container has no `{target}` to mount on, and its root is read-only",
                hint="choose a place that is there, or one below `/tmp`, or a new one at the top:"
                " `/data/sets`",
            )


def check_program(at: Path, package: Package) -> None:
    """HostError where the package lacks its program."""
    program = at / "packages" / package.title / package.entry_point[0]
    if not program.exists():
        raise HostError(f"can not run `{package.entry_point[0]}`: the package has no such file")
    if not os.access(program, os.X_OK):
        raise HostError(
            f"can not run `{package.entry_point[0]}`: permission denied",
            hint="its execute bit is not set",
        )
