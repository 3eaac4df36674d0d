"""A container as its runtime was told of it, for this start and for later ones of the same package.

What differs from start to start has marks in the text of `config.json`: the id of the container
it was first written for, which is random and so met nowhere else, alone or before a word. Nothing
dear is imported here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from lamina.core import plainjson
from lamina.core.places import CONFIG, INIT, LOG, OWN
from lamina.linux.group import Group
from lamina.node import cell, supervise
from lamina.store.starts import Fields, flat

# What differs: the folder that the program starts in, its last arguments, its only variable.
FOLDER, ARGUMENTS, ENVIRONMENT = "folder", "arguments", "environment"
FILE = "file"


def mark(id_: str, name: str) -> str:
    """What stands for a thing that differs from start to start."""
    return f"{id_}.{name}"


class Walls:
    """A container; plain, as data classes are dear to import."""

    __slots__ = (
        "by", "candidates", "command", "config", "folder", "id", "places", "record", "settings",
        "shelf", "shown", "stop_timeout", "words",
    )  # fmt: skip

    def __init__(
        self,
        id_: str,
        shelf: str,
        config: str,
        shown: str,
        stop_timeout: float,
        folder: str,
        command: Sequence[str],
        by: Sequence[tuple[str, str]],
        settings: Sequence[tuple[str, str]],
        *,
        record: str = "{}",
        words: Sequence[str] = (),
        candidates: Sequence[str] = (),
        places: Sequence[tuple[str, str]] = (),
    ) -> None:
        """All of it is of the container with that id."""
        self.id = id_
        self.shelf = shelf  # where folders of containers lie
        self.config = config  # the text of `config.json`, with marks
        self.shown = shown  # which control groups the runtime sees
        self.stop_timeout = stop_timeout  # seconds
        self.folder = folder  # where the program starts; empty: where lamina was started
        self.command = command  # words that run the bundle
        self.by = by  # controller -> folder of the control group
        self.settings = settings  # file of the group -> text
        self.record = record  # a JSON object of what others are told in each start
        self.words = words  # which variables it gets from outside, as `--env` has them
        self.candidates = candidates  # where its control group may lie
        self.places = places  # mounted on, and not on this machine -> `folder` or `file`

    def again(self, id_: str) -> Walls:
        """The same for another container."""

        def new(text: str) -> str:
            return text.replace(self.id, id_)

        return Walls(
            id_,
            self.shelf,
            new(self.config),
            self.shown,
            self.stop_timeout,
            self.folder,
            [*map(new, self.command)],
            [(controller, new(folder)) for controller, folder in self.by],
            [(new(file), text) for file, text in self.settings],
            record=self.record,
            words=self.words,
            candidates=[*map(new, self.candidates)],
            places=self.places,
        )

    def encode(self) -> list[str]:
        """Its fields, for a record."""
        return [
            self.id, self.shelf, self.config, self.shown, str(self.stop_timeout), self.folder,
            *flat(self.command), *flat(self.by), *flat(self.settings), self.record,
            *flat(self.words), *flat(self.candidates), *flat(self.places),
        ]  # fmt: skip


def decode(fields: Fields) -> Walls:
    """The container that fields tell of; raises IndexError and ValueError."""
    return Walls(
        fields.text(), fields.text(), fields.text(), fields.text(), float(fields.text()),
        fields.text(), fields.texts(), fields.pairs(), fields.pairs(),
        record=fields.text(), words=fields.texts(), candidates=fields.texts(),
        places=fields.pairs(),
    )  # fmt: skip


def begin(
    walls: Walls,
    bundle: str,
    group: Group,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    *,
    terminal: bool = False,
    network: int | None = None,
) -> int:
    """Start the container in a bundle whose root is attached; the id of its runtime outside.

    `arguments` are the last ones of the program, `variables` is all of its environment. Raises
    HostError and OSError.
    """
    text = _filled(walls, arguments, variables)
    descriptor = os.open(f"{bundle}/{CONFIG}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return supervise.start(
        supervise.Start(walls.command, group, walls.shown, terminal=terminal, network=network)
    )


def _filled(walls: Walls, arguments: Sequence[str], variables: Mapping[str, str]) -> str:
    words = plainjson.encode([f"{name}={variables[name]}" for name in sorted(variables)])
    more = "".join(f",{plainjson.encode(word)}" for word in arguments)
    id_, text = walls.id, walls.config
    text = text.replace(f'"{mark(id_, FOLDER)}"', plainjson.encode(walls.folder or here()))
    text = text.replace(f'["{mark(id_, ENVIRONMENT)}="]', words)
    return text.replace(f',"{mark(id_, ARGUMENTS)}"', more)


def here() -> str:
    """The present folder, where the container has it too."""
    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib is dear
    except FileNotFoundError:
        return "/"
    return "/" if here.split("/")[1] in OWN else here


def tell(
    record: str, id_: str, bundle: str, group: Group, pid: int, command: Sequence[str]
) -> None:
    """Let others know of a container that has started; `running` reads it."""
    own = plainjson.encode(
        {
            "id": id_, "command": list(command), "pid": pid, "supervisor": os.getpid(),
            "started": time.time(), "folder": bundle, "group": group.by,
        }
    )  # fmt: skip
    cell.announce(bundle, f"{own[:-1]},{record[1:]}")


def target(config: str, program: Sequence[str]) -> supervise.Target:
    """Finds who in the container gets the signals."""
    words = [INIT, "--", *program] if f'"args":["{INIT}"' in config else list(program)
    return supervise.init_of(supervise.first_words(words))


def complained(bundle: str) -> bool:
    """Whether the runtime has written something to its log."""
    try:
        return os.stat(f"{bundle}/{LOG}").st_size > 0
    except FileNotFoundError:
        return False
