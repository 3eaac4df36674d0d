"""`lamina doctor`: tell what this machine has and can do."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lamina.cli import arguments, output
from lamina.core.classes import asdict

if TYPE_CHECKING:
    from lamina.linux.features import Feature
    from lamina.node.runtimes import Tried


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print a line for each tool, kernel feature and runtime, and which of them are used."""
    from lamina.linux import cgroups, features
    from lamina.node import probing, runtimes
    from lamina.store import local

    tried = runtimes.every(probing.attempt)
    found = [*features.probe(local.default_folder()), *map(_runtime, tried)]
    used = next((each.name for each in tried if each.works), "none")
    layout = cgroups.layout().name
    choice = features.mount_driver()
    if args.json:
        driver = {"name": choice.driver, "reason": choice.reason}
        rows = [asdict(feature) for feature in found]
        output.document({
            "features": rows, "mount_driver": driver, "runtime": used, "control_groups": layout,
        })  # fmt: skip
        return 0
    output.table(
        ("", "what", "for", "detail"),
        [
            (
                "yes" if feature.found else "NO",
                feature.name,
                feature.needed_for,
                feature.detail,
            )
            for feature in found
        ],
    )
    output.data(f"mount driver: {choice.driver} ({choice.reason})")
    output.data(f"runtime of containers: {used}; control groups: {_LAYOUTS[layout]}")
    for hint, names in _hints(found).items():
        output.note(f"hint: {', '.join(names)}: {hint}")
    return 0


def _hints(found: Sequence[Feature]) -> dict[str, list[str]]:
    """What to do, each once, with what that is for."""
    hints: dict[str, list[str]] = {}
    for feature in found:
        if not feature.found and feature.hint:
            hints.setdefault(feature.hint, []).append(feature.name)
    return hints


_LAYOUTS = {
    "v2": "version 2",
    "v1": "version 1",
    "hybrid": "of both versions, controllers in version 1",
    "none": "without controllers, so that no limit holds",
}


def _runtime(tried: Tried) -> Feature:
    """A runtime of containers as a line of the table."""
    from lamina.linux.features import RUNTIME, Feature

    detail = tried.complaint or f"{tried.path}, works"
    hint = "" if tried.works else "one of `crun`, `runc` and `bwrap` that works will do"
    return Feature(tried.name, RUNTIME, tried.works, detail, hint, "containers")
