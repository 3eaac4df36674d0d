"""The command `lamina`: finds the command's module; errors become messages and exit codes."""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import importlib
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from types import FrameType, ModuleType
from typing import Any, NoReturn

from lamina.cli import arguments, output
from lamina.cli.commandlist import COMMANDS, GROUPS
from lamina.core.errors import Interrupted, LaminaError, UserError

_OWN_FAILURE = 125  # of those whose other exit codes are the program's own
_PROGRAMS = ("run", "exec", "enter")
_BUG = 70
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_USAGE = 3


class _Formatter(argparse.HelpFormatter):
    """The usual one, which argparse makes for each argument: so it asks for the width once."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_width())


@functools.cache
def _width() -> int:
    """The columns that help may have, as `shutil.get_terminal_size` counts them; that is dear."""
    told = os.environ.get("COLUMNS", "")
    columns = int(told) if told.isdecimal() else 0
    if not columns:
        with contextlib.suppress(OSError):
            columns = os.get_terminal_size(1).columns
    return (columns or 80) - 2


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints look like all other errors."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"formatter_class": _Formatter, **options})

    def error(self, message: str) -> NoReturn:
        missing = message.removeprefix("the following arguments are required: ")
        if missing != message:
            message = f"`{self.prog}` needs {missing}"
        raise UserError(message, hint=f"`{self.prog} --help` shows what it takes")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As in argparse, but each command complains itself of words that it does not know."""
        args = arguments.normal(args, self._option_string_actions)
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and self.prog != "lamina":
            raise self._unknown(unknown[0])
        return found, unknown

    def format_help(self) -> str:
        """As in argparse, but the usage is one line: commands have up to 60 options."""
        formatter = self._get_formatter()
        formatter.add_usage(None, self._get_positional_actions(), [], prefix="")
        positional = " ".join(formatter.format_help().split()).removeprefix(self.prog)
        ending = " [-- ARGUMENT…]" if self._hands_on() else ""
        self.usage = f"%(prog)s [OPTION…]{positional.replace('%', '%%')}{ending}"
        return super().format_help()

    def _hands_on(self) -> bool:
        """Whether what stands after `--` is for a program."""
        return self.prog.removeprefix("lamina ") in (*_PROGRAMS, "submit")

    def _unknown(self, word: str) -> UserError:
        from difflib import get_close_matches

        from lamina.cli import foreign

        message = f"`{self.prog}` does not take `{word}`"
        advice = foreign.advice(word)
        if advice:
            return UserError(message, hint=advice)
        near = get_close_matches(word.partition("=")[0], self._option_string_actions, n=1)
        if near:
            return UserError(message, hint=f"did you mean `{near[0]}`?")
        if self._hands_on():
            return UserError(message, hint="what the program is to get stands after `--`")
        return UserError(message, hint=f"`{self.prog} --help` shows what it takes")


def program() -> int:
    """The command as a process of its own; returns the exit code, with which that is to end."""
    code = main()
    if code in [128 + number for number in _ENDING]:
        # All is undone. Python takes its handlers down before it ends: a late signal would kill it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in words if not word.startswith("-")), "")
    as_json = _wants_json(_split(words)[0])
    _catch_signals()
    # Start-up makes many objects and little garbage; who goes on to build turns it on again.
    gc.disable()
    try:
        return _run(words, command)
    except Interrupted as error:
        return error.exit_code
    except BrokenPipeError:
        # Who read our output has gone; there is nobody to tell. Python would try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        return told(error, command, as_json=as_json)


def told(error: Exception, command: str, *, as_json: bool = False) -> int:
    """Tell a person why a command failed; the exit code."""
    if isinstance(error, LaminaError):
        fault: LaminaError | None = error
    else:
        from lamina.cli import machine

        fault = machine.fault(error)
    if fault is None:
        return _bug(command, error)
    output.error(fault, as_json=as_json)
    return _OWN_FAILURE if command in _PROGRAMS else fault.exit_code


def _run(words: list[str], command: str) -> int:
    if "_ARGCOMPLETE" in os.environ:
        parser = _parser(None)
        import argcomplete

        argcomplete.autocomplete(parser)
    parser = _prepared.get(command) or _parser(command)
    words, program = _split(words)
    if command and command not in COMMANDS:
        raise _no_command(command)
    args = parser.parse_args(words)
    if not args.command:
        parser.print_help()
        return _USAGE
    args.program_arguments = program
    args.words = tuple(words)
    arguments.read_patterns(args)
    module = _module(args.command)
    code: int = module.run(args)
    sys.stdout.flush()
    return code


def _no_command(word: str) -> UserError:
    from difflib import get_close_matches

    near = get_close_matches(word, COMMANDS, n=1)
    hint = f"did you mean `{near[0]}`?" if near else "`lamina --help` lists the commands"
    return UserError(f"no command is called `{word}`", hint=hint)


def _split(words: list[str]) -> tuple[list[str], list[str] | None]:
    """The command's own words, and those for the program after `--`."""
    if "--" not in words:
        return words, None
    index = words.index("--")
    if not words or words[0] not in (*_PROGRAMS, "submit"):
        return words, None
    return words[:index], words[index + 1 :]


def _wants_json(words: list[str]) -> bool:
    """Whether errors are to be data too: asked before words are parsed, as that may fail."""
    return "--json" in words or "--output-format json" in " ".join(words).replace("=", " ")


class _Main(_Parser):
    """The parser of `lamina` itself."""

    def format_help(self) -> str:
        """All commands in groups, where argparse has one long list."""
        commands = self._get_positional_actions()
        lists = [each for each in commands if isinstance(each, argparse._SubParsersAction)]
        named = {each.dest: each for known in lists for each in known._choices_actions}
        formatter = self._get_formatter()
        formatter.add_usage("%(prog)s [OPTION…] COMMAND …", [], [])
        formatter.add_text(self.description)
        groups = [
            (title, [named[name] for name in group if name in named])
            for title, group in GROUPS.items()
        ]
        for title, actions in [*groups, ("options", self._get_optional_actions())]:
            formatter.start_section(title)
            formatter.add_arguments(actions)
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()


_prepared: dict[str, argparse.ArgumentParser] = {}


def prepare(commands: Iterable[str]) -> None:
    """Make the parsers of some commands now, for forks of this process that are to be one."""
    _prepared.update((command, _parser(command)) for command in commands)


def _parser(command: str | None) -> argparse.ArgumentParser:
    """The parser, with the arguments of one command alone, or of all where it is None."""
    parser = _Main(
        prog="lamina",
        description="From a monorepo to jobs on a cluster: one layer per build rule, no Docker.",
        epilog="`lamina COMMAND --help` tells more of a command.",
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="print it and exit")
    # Told what to call it, it imports nothing to find that out.
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", prog="lamina", parser_class=_Parser
    )
    shown = {command: COMMANDS[command]} if command in COMMANDS else COMMANDS
    for name, summary in shown.items():
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:])
        if command in (None, name):
            _module(name).add_to(sub)
    return parser


class _ShowVersion(argparse.Action):
    """Looks the version up only when it is to be printed: importlib.metadata takes 15 ms."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        output.data(f"lamina {version('lamina')}")
        parser.exit()


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"lamina.cli.commands.{name}")


def _catch_signals() -> None:
    for number in _ENDING:
        # What is ignored (nohup, a shell's background job) stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Unwind to `main`; further signals wait until the children are ended and all is undone."""
    for other in _ENDING:
        # Not SIG_IGN: Python would complain of a signal that is under way already.
        signal.signal(other, lambda *_: None)
    raise Interrupted(number)


def _bug(command: str, error: Exception) -> int:
    import traceback

    output.note("".join(traceback.format_exception(error)).rstrip())
    output.note("error: this is a fault of lamina itself")
    output.note("hint: please report it with the lines above and the output of `lamina doctor`")
    return _OWN_FAILURE if command in _PROGRAMS else _BUG


if __name__ == "__main__":
    sys.exit(program())
