"""`lamina doctor`: tell what this machine has and can do."""

from __future__ import annotations

import argparse
import dataclasses

from lamina.cli import arguments, output


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print a line for each tool and kernel feature, and the mount driver that is used."""
    from lamina.linux import features
    from lamina.store import local

    found = features.probe(local.default_folder())
    choice = features.mount_driver()
    if args.json:
        driver = {"name": choice.driver, "reason": choice.reason}
        rows = [dataclasses.asdict(feature) for feature in found]
        output.document({"features": rows, "mount_driver": driver})
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
    for feature in found:
        if not feature.found and feature.hint:
            output.note(f"hint: {feature.name}: {feature.hint}")
    return 0
