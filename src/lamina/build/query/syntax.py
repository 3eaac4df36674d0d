"""The query language: its text becomes expressions, and they print as text that reads the same.

    expression = part (operator part)*          all operators bind alike, from left to right
    part       = word | "(" expression ")" | "set" "(" word* ")" | name "(" arguments ")"
               | "let" name "=" expression "in" expression | "$" name
    operator   = "+" "union" | "-" "except" | "^" "intersect"

Words need quotes where they hold anything but letters, digits and `*/@.-_:$~[]%`, or are keywords.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lamina.core.classes import dataclass, field
from lamina.core.errors import UserError

OPERATORS = {"union": "+", "except": "-", "intersect": "^", "+": "+", "-": "-", "^": "^"}
KEYWORDS = frozenset({"except", "in", "intersect", "let", "set", "union"})
_DEEPEST = 100  # of parentheses: Python's stack has an end
_SHOWN = 72  # characters of the text around a fault
_TOKEN = re.compile(
    r"""\s* (?: (?P<quoted> "[^"]*" | '[^']*')
              | (?P<word> [\w/@.:$~\[\]%][\w*/@.:$~\[\]%-]* )
              | (?P<sign> [-+^=(),] ) )""",
    re.VERBOSE,
)
_PLAIN = re.compile(r"[\w/@.:~\[\]%][\w*/@.:$~\[\]%-]*")


class QueryFault(UserError):
    """Something is wrong at one place of a query, which the message shows."""

    def __init__(self, text: str, at: int, message: str, hint: str = "") -> None:
        super().__init__(f"{_place(text, at)}: {message}\n{_shown(text, at)}", hint=hint or None)


@dataclass(frozen=True, slots=True)
class Word:
    """A pattern or an argument."""

    text: str
    at: int = field(default=0, compare=False)  # where in the query

    def __str__(self) -> str:
        if _PLAIN.fullmatch(self.text) and self.text not in KEYWORDS:
            return self.text
        return f"'{self.text}'" if '"' in self.text else f'"{self.text}"'


@dataclass(frozen=True, slots=True)
class Variable:
    """The value that `let` gave a name."""

    name: str
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"${self.name}"


@dataclass(frozen=True, slots=True)
class SetOf:
    """`set(a b)`."""

    words: tuple[Word, ...]
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"set({' '.join(map(str, self.words))})"


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments."""

    name: str
    arguments: tuple[Expression, ...]
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True, slots=True)
class Let:
    """`let name = value in body`."""

    name: str
    value: Expression
    body: Expression
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"let {self.name} = {self.value} in {self.body}"


@dataclass(frozen=True, slots=True)
class Chain:
    """Operands with operators between them; flat, for there may be thousands."""

    first: Expression
    rest: tuple[tuple[str, Expression], ...]  # "+", "-" or "^", and what follows
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        *inner, last = self.rest
        shown = [_inner(self.first), *(f" {sign} {_inner(operand)}" for sign, operand in inner)]
        sign, operand = last
        # A `let` takes all that follows: only the last operand may stand without parentheses.
        text = f"({operand})" if isinstance(operand, Chain) else str(operand)
        return "".join([*shown, f" {sign} {text}"])


Expression = Word | Variable | SetOf | Call | Let | Chain


def _inner(operand: Expression) -> str:
    return f"({operand})" if isinstance(operand, Chain | Let) else str(operand)


def parse(text: str) -> Expression:
    """The expression that a text is; raises QueryFault."""
    return _Parser(text).whole()


def calls(expression: Expression) -> Iterator[Call]:
    """The calls in an expression, each before those in its arguments."""
    waiting = [expression]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Call):
            yield part
            waiting.extend(reversed(part.arguments))
        elif isinstance(part, Chain):
            waiting.extend([*(operand for _, operand in reversed(part.rest)), part.first])
        elif isinstance(part, Let):
            waiting.extend([part.body, part.value])


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # "word", "quoted", "sign" or "end"
    text: str
    at: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._index = 0
        self._depth = 0

    def whole(self) -> Expression:
        if self._next.kind == "end":
            hint = 'as in `lamina query "deps(//a:b)"`; docs/query.md tells what there is'
            raise self._fault("the query is empty", self._next, hint)
        expression = self._expression()
        if self._next.kind != "end":
            what = f"`{self._next.text}` is not expected here"
            hint = "between two parts stands an operator: `+`, `-` or `^`"
            if self._next.text in (")", ",", "="):
                hint = "are the parentheses in pairs?"
            raise self._fault(what, self._next, hint)
        return expression

    @property
    def _next(self) -> _Token:
        return self._tokens[self._index]

    def _take(self) -> _Token:
        token = self._next
        self._index += token.kind != "end"
        return token

    def _is(self, *texts: str) -> bool:
        return self._next.kind in ("word", "sign") and self._next.text in texts

    def _expect(self, text: str, hint: str = "") -> _Token:
        if not self._is(text):
            found = f", not `{self._next.text}`" if self._next.text else ""
            raise self._fault(f"`{text}` is expected here{found}", self._next, hint)
        return self._take()

    def _expression(self) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            hint = "`let x = … in …` gives a part a name"
            raise self._fault("the query is nested too deeply", self._next, hint)
        start, first = self._next, self._part()
        rest = []
        while self._is(*OPERATORS):
            rest.append((OPERATORS[self._take().text], self._part()))
        self._depth -= 1
        return Chain(first, tuple(rest), start.at) if rest else first

    def _part(self) -> Expression:
        token = self._take()
        if token.kind == "quoted":
            return Word(token.text[1:-1], token.at)
        if token.text == "(":
            inside = self._expression()
            self._expect(")", "the parenthesis before it is not closed")
            return inside
        if token.text == "let":
            return self._let(token)
        if token.text == "set":
            return self._set(token)
        if token.kind != "word" or token.text in KEYWORDS:
            what = f"`{token.text}`" if token.text else "the end"
            hint = 'as a word it needs quotes: `"…"`' if token.text else "something is missing"
            raise self._fault(f"{what} stands where a target or function should", token, hint)
        if self._is("("):
            return self._call(token)
        if token.text.startswith("$"):
            return Variable(token.text[1:], token.at)
        return Word(token.text, token.at)

    def _let(self, start: _Token) -> Let:
        name = self._take()
        if name.kind != "word" or not re.fullmatch(r"[A-Za-z_]\w*", name.text):
            raise self._fault("a name is expected after `let`", name, "`let x = … in …`")
        self._expect("=", "`let x = … in …`")
        value = self._expression()
        self._expect("in", "`let x = … in …`")
        return Let(name.text, value, self._expression(), start.at)

    def _set(self, start: _Token) -> SetOf:
        self._expect("(", 'as a word `"set"` needs quotes')
        words = []
        while self._next.kind in ("word", "quoted"):
            token = self._take()
            words.append(Word(token.text[1:-1] if token.kind == "quoted" else token.text, token.at))
        self._expect(")", "`set` takes words with blanks between them: `set(//a //b:c)`")
        return SetOf(tuple(words), start.at)

    def _call(self, name: _Token) -> Call:
        self._take()
        arguments = []
        while not self._is(")"):
            arguments.append(self._expression())
            if self._is(","):
                self._take()
            elif not self._is(")"):
                found = f", not `{self._next.text}`" if self._next.text else ""
                hint = f"the parenthesis of `{name.text}` is not closed"
                raise self._fault(f"`,` or `)` is expected here{found}", self._next, hint)
        self._take()
        return Call(name.text, tuple(arguments), name.at)

    def _fault(self, message: str, token: _Token, hint: str = "") -> QueryFault:
        return QueryFault(self._text, token.at, message, hint)


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise QueryFault(text, start, *_unread(text[start]))
        kind = match.lastgroup or ""
        yield _Token(kind, match[kind], match.start(kind))
        at = match.end()
    yield _Token("end", "", end)


def _unread(character: str) -> tuple[str, str]:
    if character in "\"'":
        return "the quotes are not closed", ""
    if character == "*":
        return "a word does not start with `*`", "a pattern of all files is `//a:*`; else quote it"
    return f"`{character}` has no meaning here", 'words with such signs need quotes: `"…"`'


def _place(text: str, at: int) -> str:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return f"line {line}, column {column}" if "\n" in text.strip() else f"column {column}"


def _shown(text: str, at: int) -> str:
    """The line of the text that a place is in, and below it a caret."""
    start = text.rfind("\n", 0, at) + 1
    line, column = text[start:].partition("\n")[0], at - start
    if len(line) > _SHOWN:
        first = max(0, min(column - _SHOWN // 2, len(line) - _SHOWN))
        before, after = "…" * bool(first), "…" * (first + _SHOWN < len(line))
        line = before + line[first : first + _SHOWN] + after
        column -= first - len(before)
    return f"  {line}\n  {' ' * column}^"
