"""`lamina build`: make the outputs of targets and put them into `lamina-out/`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lamina.build import record
from lamina.cli import arguments, output
from lamina.cli.session import Session

if TYPE_CHECKING:
    from lamina.build.providers import Analysed
    from lamina.cli.publish import Publisher
    from lamina.core.action import Artifact
    from lamina.core.label import Label
    from lamina.core.tree import Node

_SHOWN = 20  # so many outputs are listed; of more, only the number is told

Outputs = dict[str, list[str]]  # label -> paths of its outputs, from the root


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    arguments.add_patterns(parser)
    arguments.add_build(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Build, and list the outputs."""
    begun = time.perf_counter()
    with Session(arguments.options(args)) as session:
        key = session.key("build", *args.patterns)
        known = record.load(session.state, key, session.root)
        outputs: Outputs = known["outputs"] if known else {}  # type: ignore[assignment]
        ran = 0
        if known is None:
            outputs, made = _build(session, args.patterns)
            ran = len(session.engine.executed)
            state = record.capture(session.root, session.seen(made))
            scratch = session.store.scratch
            record.save(session.state, key, state, {"outputs": outputs}, scratch)
        session.settle()
    _report(outputs, ran, time.perf_counter() - begun, as_json=args.json)
    return 0


def _build(session: Session, patterns: list[str]) -> tuple[Outputs, set[str]]:
    """Build and publish; the outputs to tell of, and every file that was published."""
    from lamina.build.analysis import runtime_order
    from lamina.cli.publish import FOLDER, Publisher

    labels = session.labels(patterns)
    analysed = session.analyse(labels)
    programs = {
        label: [analysed[part] for part in runtime_order(label, analysed)]
        for label in labels
        if analysed[label].runnable
    }
    wanted: list[Artifact] = [file for label in labels for _, file in analysed[label].files]
    wanted += [file for parts in programs.values() for part in parts for file in part.own.values()]
    # The shared form of a C++ library is made for who loads it; its outputs are its other form.
    checked = [analysed[label] for label in labels if analysed[label].cxx is None]
    wanted += [file for target in checked for file in target.own.values()]
    built = session.engine.build(wanted)
    outputs: Outputs = {}
    with Publisher(session) as publisher:
        for label in labels:
            if label in programs:
                outputs[str(label)] = [_publish_program(publisher, label, programs[label], built)]
                continue
            made = {path: file for path, file in analysed[label].files if _is_made(file)}
            tree = _tree(made, built)
            publisher.write(tree)
            outputs[str(label)] = [f"{FOLDER}/{path}" for path in sorted(tree)]
    return outputs, publisher.outputs


def _publish_program(
    publisher: Publisher,
    label: Label,
    parts: list[Analysed],
    built: Mapping[Artifact, dict[str, Node]],
) -> str:
    """Put a program's whole package root into `lamina-out/<path>/<name>.root`, ready to start."""
    from lamina.cli.publish import FOLDER
    from lamina.packaging.layers import OwnFiles, check

    own = [OwnFiles(str(part.label), _tree(part.own, built)) for part in parts]
    check(own)
    tree = {path: node for part in own for path, node in part.tree.items()}
    folder = f"{label.package}/{label.name}.root".lstrip("/")
    publisher.replace(folder, tree)
    runnable = parts[-1].runnable
    assert runnable is not None
    return f"{FOLDER}/{folder}/{runnable.entry_point}"


def _tree(
    files: Mapping[str, Artifact], built: Mapping[Artifact, dict[str, Node]]
) -> dict[str, Node]:
    from lamina.core.tree import place

    tree: dict[str, Node] = {}
    for path, artifact in files.items():
        tree |= place(path, built[artifact])
    return tree


def _is_made(artifact: Artifact) -> bool:
    from lamina.core.action import Output

    return isinstance(artifact, Output)


def _report(outputs: Outputs, ran: int, seconds: float, *, as_json: bool) -> None:
    if as_json:
        output.document({"outputs": outputs, "actions_run": ran})
        return
    lines = [f"{label}  {path}" for label, paths in outputs.items() for path in paths]
    if len(lines) <= _SHOWN:
        for line in lines:
            output.data(line)
    targets = output.plural(len(outputs), "target")
    output.note(f"{targets} built; {output.plural(ran, 'action')} run in {seconds:.2f} s")
