"""Features of nodes by which Slurm prefers those that have most of a package already.

A feature stands for all versions of a package: what they share is most of it. Who may change nodes
sets it (`lamina nodes REF --label`), and jobs of a cluster with `prefer_warm` ask for it
(`--prefer`, https://slurm.schedmd.com/sbatch.html#OPT_prefer).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from lamina.core import reference

_LONGEST = 48  # characters of a name in a feature
_ENOUGH = 0.1  # of a package may be missing on a node that has most of it


def of(package: str) -> str:
    """The feature that stands for the package of a reference, whatever its version."""
    parsed = reference.parse(package)
    name = re.sub(r"[^A-Za-z0-9_.]", "_", parsed.repository)
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}_{hashlib.sha256(parsed.repository.encode()).hexdigest()[:8]}"
    return f"lamina_{name}"


def is_warm(missing: int, size: int) -> bool:
    """Whether a node that lacks so many bytes of so many has most of a package."""
    return missing <= size * _ENOUGH


def preference(feature: str, constraint: str) -> str:
    """The value of `--prefer` for a job; it takes the place of what else is asked of nodes."""
    return f"({constraint})&{feature}" if constraint else feature


def changed(
    features: Mapping[str, Sequence[str]], feature: str, warm: Mapping[str, bool]
) -> dict[tuple[str, ...], list[str]]:
    """New lists of features, and the nodes that get them; those that stay as they are are left out.

    `features` are those that nodes have, `warm` tells of some nodes whether they are to have one.
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for node, is_one in sorted(warm.items()):
        old = tuple(features.get(node, ()))
        others = tuple(each for each in old if each != feature)
        new = (*others, feature) if is_one else others
        if set(new) != set(old):
            found.setdefault(new, []).append(node)
    return found
