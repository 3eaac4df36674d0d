"""The parts of a plan as image files, or folders, that can be mounted."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

from lamina.core.errors import HostError, UserError
from lamina.node.plan import Part, Plan

# The store is somebody else's, or full: what is not merged can often be mounted all the same.
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)


def images(plan: Plan, most: int) -> list[Path]:
    """The images to mount, bottom first; runs that are merged are made where they are not there.

    Raises UserError where they are more than that.
    """
    found = [path for part in plan.parts for path in _images(part)]
    if plan.has_large:
        from lamina.node import laid
        from lamina.store import local

        found = [laid.stacked(path, local.default_folder()) for path in found]
    if len(found) > most:
        raise UserError(
            f"{len(found)} layers are too many to mount: {most} can be stacked",
            hint="let the store be writable and have room, so that layers can be merged there",
        )
    return found


def _images(part: Part) -> Iterator[Path]:
    if not part.merged:
        yield from part.paths
        return
    from lamina.node import merge  # brings the store
    from lamina.store import local

    try:
        yield merge.merged(part.paths, local.default_folder(), is_bottom=part.is_bottom)
    except (OSError, HostError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError) or cause.errno not in _UNWRITABLE:
            raise
        yield from part.paths
