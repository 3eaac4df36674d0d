"""lamina as a tool that is measured: its sandbox on, no server, a store of its own."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bench.build.repository import Repository
from bench.build.shape import Target
from bench.build.tool import Built, Done, command
from bench.lamina import Lamina

_RAN = re.compile(r"(\d+) actions? run")


@dataclass
class LaminaTool:
    """Builds with the store that is newest; an empty one is made to begin anew."""

    repository: Repository
    folder: Path  # for stores
    flags: tuple[str, ...] = ()
    name: str = "lamina"
    _numbers: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self._store = self._loaded = Path()
        self.forget()
        self.forget_loaded()

    def build(self, *, detail: bool = False, memory: bool = False) -> Built:
        done = self._run("build", "--console", "none", *self.flags, "//...", memory=memory)
        found = _RAN.search(done.messages)
        ran = int(found[1]) if found else 0
        return Built(done.seconds, ran, self._compiled(ran) if detail else None, done.peaks)

    def _compiled(self, ran: int) -> int:
        # The log goes on telling of the last build in which something ran.
        actions = json.loads(self._run("log", "ran", "--json").output) if ran else []
        return sum(action["mnemonic"] == "CxxCompile" for action in actions)

    def query(self, expression: str, *, memory: bool = False) -> Done:
        return self._run("query", expression, memory=memory)

    def load(self) -> Done:
        return self._run("targets", "//...", store=self._loaded)

    def program(self, target: Target) -> Path:
        return self.repository.root / "lamina-out" / target.package / target.name

    def forget(self) -> None:
        if (self.repository.root / "lamina-out").exists():
            self._throw(self.repository.root / "lamina-out")
        self._store = self._new_store(self._store)

    def forget_loaded(self) -> None:
        self._loaded = self._new_store(self._loaded)

    def stop(self) -> None:
        """Nothing is resident."""

    def start(self) -> None:
        """Nothing is resident."""

    def close(self) -> None:
        """Nothing is resident; stores and what was thrown away lie in the bench's folder."""

    def _new_store(self, old: Path) -> Path:
        if old != Path():
            self._throw(old)
        store = self.folder / f"store{next(self._numbers)}"
        store.mkdir(parents=True)
        return store

    def _throw(self, folder: Path) -> None:
        """Put a folder out of sight.

        ext4 passes by inodes that were freed within the last minute, one by one: who makes files
        just after many were removed would pay for that.
        """
        folder.rename(self.folder / f"thrown{next(self._numbers)}")

    def _run(self, *args: str, store: Path | None = None, memory: bool = False) -> Done:
        lamina = Lamina(store or self._store)
        env = dict(lamina.environment)
        del env["PYTHONUNBUFFERED"]  # only who is asked for a first line needs it
        return command([*lamina.command, *args], self.repository.root, env, memory=memory)
