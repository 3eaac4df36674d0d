"""Policies: which keys may sign which packages. TOML, the same in `lamina.toml` and `policy.toml`:

    [trust]
    required = true                 # what no rule names is refused; the default

    [[trust.rule]]
    packages = ["train/*"]          # `*` stands for any text, `/` too
    keys = ["keys/release.pub"]     # from the folder of the file
    required = true                 # one of these must have signed; the default

The first rule with a pattern that fits a package is the one for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from lamina.core.classes import dataclass
from lamina.core.errors import UserError
from lamina.formats import tomltext
from lamina.store.trust import keys
from lamina.store.trust.places import WORKSPACE_FILE, Place

_TRUST = ("required", "rule")
_RULE = ("packages", "keys", "required")
_HINT = '`[[trust.rule]]` takes `packages = ["train/*"]`, `keys = ["release.pub"]` and `required`'


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may sign some packages."""

    packages: tuple[str, ...] = ()  # patterns for names
    keys: tuple[Path, ...] = ()
    required: bool = True  # False: what they did not sign is told of, and run
    line: int = 0  # in its file, where it is known

    def is_for(self, name: str) -> bool:
        """Whether it is about the package of that name."""
        return any(fnmatchcase(name, pattern) for pattern in self.packages)


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a file, in its order."""

    source: str  # the file
    rules: tuple[Rule, ...]
    required: bool = True  # whether what no rule is for is refused

    def rule_for(self, name: str) -> Rule:
        """What a package must comply with."""
        fitting = (rule for rule in self.rules if rule.is_for(name))
        return next(fitting, Rule(required=self.required))

    def keys_for(self, name: str) -> list[keys.PublicKey]:
        """The keys that may sign a package; raises UserError where one of them is none."""
        rule = self.rule_for(name)
        found = []
        for path in rule.keys:
            try:
                found.append(keys.read_public(path))
            except UserError as error:
                raise UserError(f"{self.place(rule)}: {error.message}", hint=error.hint) from error
        return found

    def place(self, rule: Rule) -> str:
        """Where a rule stands."""
        return f"{self.source}:{rule.line}" if rule.line else self.source


def read(place: Place) -> Policy | None:
    """The policy in a file, None for a `lamina.toml` without; raises UserError with its place."""
    try:
        text = place.data.decode()
        document = tomltext.loads(text)
    except UnicodeDecodeError as error:
        raise UserError(f"{place.path}: not UTF-8 text") from error
    except tomltext.Fault as error:
        raise UserError(_syntax(place.path, str(error))) from error
    is_workspace = Path(place.path).name == WORKSPACE_FILE
    if is_workspace and "trust" not in document:
        return None
    if not is_workspace and (other := next((key for key in document if key != "trust"), "")):
        raise UserError(
            f"{place.path}:{_line(text, other)}: unknown section or key `{other}`",
            hint="a policy has `[trust]` and `[[trust.rule]]`",
        )
    trust = document.get("trust", {})
    for line, message in faults(trust, text):
        raise UserError(f"{place.path}:{line}: {message}", hint=_HINT)
    folder = Path(place.path).absolute().parent
    lines = _rule_lines(text)
    rules = [
        Rule(
            tuple(rule["packages"]),
            tuple(folder / key for key in rule["keys"]),
            rule.get("required", True),
            lines[number] if number < len(lines) else 0,
        )
        for number, rule in enumerate(trust.get("rule", []))
    ]
    return Policy(place.path, tuple(rules), trust.get("required", True))


def faults(trust: object, text: str) -> Iterator[tuple[int, str]]:
    """What is wrong with `[trust]` of a file with this text: lines and messages."""
    if not isinstance(trust, dict):
        yield _line(text, "trust"), "`trust` is a table: write `[trust]`"
        return
    yield from _faults_of_keys(trust, _TRUST, "[trust]", _line(text, "trust"), text)
    rules = trust.get("rule", [])
    if not isinstance(rules, list):
        yield _line(text, "rule"), "rules are a list: write `[[trust.rule]]`"
        return
    lines = _rule_lines(text)
    for number, rule in enumerate(rules):
        line = lines[number] if number < len(lines) else _line(text, "rule")
        if not isinstance(rule, dict):
            yield line, "rules are tables: write `[[trust.rule]]`"
            continue
        yield from _faults_of_keys(rule, _RULE, "[[trust.rule]]", line, text)
        for key in ("packages", "keys"):
            if not _is_list(rule.get(key)):
                yield _line(text, key, line), f"`{key}` in `[[trust.rule]]` takes a list of strings"
        if rule.get("required", True) is True and rule.get("keys") == []:
            yield line, "a rule without `keys` that requires a signature: nobody could give it"


def _faults_of_keys(
    table: Mapping[str, object], known: tuple[str, ...], name: str, line: int, text: str
) -> Iterator[tuple[int, str]]:
    for key in table:
        if key not in known:
            yield _line(text, key, line), f"unknown key `{key}` in `{name}`"
    if not isinstance(table.get("required", True), bool):
        yield _line(text, "required", line), f"`required` in `{name}` takes `true` or `false`"


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and each for each in value)


def _syntax(path: str, text: str) -> str:
    """tomllib says the place at the end of its message: `… (at line 2, column 8)`."""
    match = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", text)
    message = text[: match.start()] if match else text
    where = f"{path}:{match[1]}:{match[2]}" if match and match[1] else path
    return f"{where}: syntax error: {message[:1].lower()}{message[1:]}"


def _line(text: str, key: str, begin: int = 1) -> int:
    """The line that sets a key, or begins its section, from a line on; that line where none does.

    tomllib keeps no places, and files are small.
    """
    wanted = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
    for number, line in enumerate(text.splitlines(), start=1):
        if number >= begin and wanted.match(line):
            return number
    return begin


def _rule_lines(text: str) -> list[int]:
    header = re.compile(r"\s*\[\[\s*trust\s*\.\s*rule\s*\]\]")
    return [number for number, line in enumerate(text.splitlines(), 1) if header.match(line)]
