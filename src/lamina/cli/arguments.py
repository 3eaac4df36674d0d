"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING, Any

from lamina.cli import farm
from lamina.core.errors import UserError

if TYPE_CHECKING:
    from lamina.cli.session import Options
    from lamina.node.mounts import Upper


def add_build(parser: argparse.ArgumentParser) -> None:
    """How to build."""
    parser.add_argument(
        "-j", "--jobs", type=count("--jobs"), default=os.cpu_count() or 1, metavar="N",
        help="actions at once (default: the number of cores)",
    )  # fmt: skip
    parser.add_argument(
        "-k", "--keep-going", action="store_true", help="go on with what does not depend on faults"
    )
    parser.add_argument(
        "-v", "--verbose", "--verbose-failures", action="store_true",
        help="show the whole command of a failed action",
    )  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    parser.add_argument(
        "--console", choices=("auto", "super", "simple", "none"), default="auto",
        help="progress redrawn in place, as plain lines, or none (default: what the output allows)",
    )  # fmt: skip
    add_flags(parser)
    farm.add_flags(parser)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What to build for; `flags` becomes the list of them, each as `--name=value`."""
    parser.set_defaults(flags=())
    for names, metavar, text in _FLAGS:
        parser.add_argument(*names, action=_Flag, dest="flags", metavar=metavar, help=text)


class _Flag(argparse.Action):
    """Keeps a flag under the last of its names, in the order of the command line."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        _option: str | None = None,
    ) -> None:
        namespace.flags = (*namespace.flags, f"{self.option_strings[-1]}={values}")


_FLAGS = (
    (("-c", "--compilation-mode"), "opt|dbg|fastbuild", "fast, for the debugger, or soon built"),
    (("--config",), "NAME", "the flags of `[config.NAME]` in `lamina.toml`"),
    (("--define",), "NAME=VALUE", "a value that `config_setting` and `$(NAME)` see"),
    (("--copt",), "FLAG", "for the compiler, C and C++"),
    (("--conlyopt",), "FLAG", "for the compiler, C alone"),
    (("--cxxopt",), "FLAG", "for the compiler, C++ alone"),
    (("--linkopt",), "FLAG", "for every link"),
    (("--target-platforms", "--platforms"), "LABEL", "the `platform` to build for"),
    (("--cpu",), "NAME", "the processor that `config_setting` sees"),
    (("-m", "--modifier"), "LABEL", "a `constraint_value` to build for"),
    (("--flag",), "LABEL=VALUE", "value of a flag; also `--//folder:flag=value`, `--no//…`"),
)
_TAKE_DASHES = (
    "--copt", "--conlyopt", "--cxxopt", "--linkopt",
    "--test-arg", "--test-tag-filters", "--test-size-filters", "--test-lang-filters",
)  # fmt: skip


def normal(words: Sequence[str], known: Container[str]) -> list[str]:
    """The words of a command line as argparse can read them.

    Options may have `_` for `-`, as Bazel writes them; flags may be named by their label; flags for
    compilers start with a dash, which argparse would take for an option.
    """
    found: list[str] = []
    waiting = iter(words)
    for word in waiting:
        name, equals, value = word.partition("=")
        if "--flag" in known and name.startswith(_LABELS):
            found.append(f"--flag={word.removeprefix('--')}")
            continue
        dashed = name.replace("_", "-")
        if name.startswith("--") and name not in known and dashed in known:
            name = dashed
        if not equals and name in _TAKE_DASHES and name in known:
            equals, value = "=", next(waiting, "")
        found.append(f"{name}{equals}{value}")
    return found


_LABELS = ("--//", "--@", "--no//", "--no@")


def add_grouping(parser: argparse.ArgumentParser) -> None:
    """Which targets share a layer."""
    parser.add_argument(
        "--grouping", choices=("per-target", "per-package", "single", "auto"), default="",
        help="which targets share a layer (default: what `lamina.toml` says, else `per-target`)",
    )  # fmt: skip
    parser.add_argument(
        "--max-layers", type=count("--max-layers"), default=0, metavar="N",
        help="as many as `--grouping auto` may make (default: what `lamina.toml` says, else 127)",
    )  # fmt: skip


def add_json(parser: argparse.ArgumentParser) -> None:
    """Whether data is for programs."""
    parser.add_argument("--json", action="store_true", help="print data and errors as JSON")
    parser.add_argument(
        "--output-format", dest="json", type=_is_json, metavar="text|json", help=argparse.SUPPRESS
    )


def _is_json(text: str) -> bool:
    if text not in ("text", "json"):
        raise UserError(f"`--output-format` takes `text` or `json`, not `{text}`")
    return text == "json"


def add_driver(parser: argparse.ArgumentParser) -> None:
    """How layers are mounted."""
    parser.add_argument(
        "--driver", metavar="kernel|fuse|btrfs|copy", type=_driver,
        help="how layers are mounted (default: what `lamina doctor` says)",
    )  # fmt: skip


def add_writable(parser: argparse.ArgumentParser) -> None:
    """Whether the program may write to its package."""
    parser.add_argument(
        "--writable", metavar="tmpfs|FOLDER", type=_writable,
        help="let the program write to its package: it goes to memory, or to a folder, which keeps "
        "it; `/tmp` is its own then (default: read-only)",
    )  # fmt: skip


def _writable(text: str) -> Upper:
    from lamina.node import jobs

    return jobs.chosen(text)


def add_unpack(parser: argparse.ArgumentParser) -> None:
    """Declare `--unpack`."""
    parser.add_argument(
        "--unpack", action="store_true",
        help="lay large layers out as files, which programs find as fast as any others",
    )  # fmt: skip


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Whether to tell how it would be mounted."""
    parser.add_argument(
        "--explain", action="store_true",
        help="print by which driver, which layers alone and which merged, and why; mount nothing",
    )  # fmt: skip


def tell_of_copy(args: argparse.Namespace, *, stays: bool = False) -> None:
    """Tell where nothing is mounted though nobody asked for that; the driver is chosen then.

    `stays` is for a mount of the caller's own namespace.
    """
    from lamina.linux import drivers

    if args.driver is None:
        choice = drivers.choose_to_stay() if stays else drivers.choose()
        args.driver = choice.driver
        if choice.driver == drivers.COPY:
            from lamina.cli import output

            output.note(f"nothing can be mounted here, so files are unpacked: {choice.reason}")


def add_target(parser: argparse.ArgumentParser) -> None:
    """One target."""
    parser.add_argument("target", metavar="TARGET", help="a label: `//folder:name` or `:name`")
    _complete_labels(parser)


def is_label(text: str) -> bool:
    """Whether a word means a target; any other one means a package."""
    return "//" in text or text.startswith(":")


def complete_labels(parser: argparse.ArgumentParser) -> None:
    """Let a shell complete the last argument to labels."""
    _complete_labels(parser)


def add_patterns(parser: argparse.ArgumentParser, *, default: str = "") -> None:
    """Any number of target patterns; without a default, one at least."""
    parser.set_defaults(default_patterns=[default] if default else [])
    parser.add_argument(
        "patterns", metavar="PATTERN", nargs="*", default=[],
        help="`//folder:name`, `//folder/...`, `:name`; after `--`, `-//folder:name` takes away; "
        "`@FILE` stands for the lines of a file",
    )  # fmt: skip
    _complete_labels(parser)
    parser.add_argument(
        "--target-file", "--target-pattern-file", action="append", default=[], metavar="FILE",
        dest="pattern_files", help="the patterns are the lines of a file",
    )  # fmt: skip


def read_patterns(args: argparse.Namespace) -> None:
    """Put those that files hold to the patterns of parsed arguments; raises UserError for none."""
    if "default_patterns" not in args:
        return
    found: list[str] = []
    for word in args.patterns:
        is_file = word.startswith("@") and "//" not in word
        found += _lines(word[1:]) if is_file else [word]
    for name in args.pattern_files:
        found += _lines(name)
    args.patterns = found or args.default_patterns
    if not args.patterns:
        message = f"`lamina {args.command}` needs PATTERN"
        raise UserError(message, hint=f"`lamina {args.command} --help` shows what it takes")


def _lines(name: str) -> list[str]:
    """The patterns in a file, one on each line; what follows `#` is for people."""
    from pathlib import Path

    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"cannot read patterns from `{name}`: {reason}") from error
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def options(args: argparse.Namespace) -> Options:
    """How to build, from parsed arguments."""
    from lamina.cli.session import Options  # `lamina exec` builds nothing, and starts faster

    words = getattr(args, "words", ())
    return Options(
        jobs=args.jobs,
        keep_going=args.keep_going,
        verbose=args.verbose,
        quiet=args.quiet,
        flags=args.flags,
        console=args.console,
        words=words,
        grouping=getattr(args, "grouping", ""),
        most_layers=getattr(args, "max_layers", 0),
        lenient=args.keep_going,
        remote=getattr(args, "remote", ()),
    )


def _driver(text: str) -> str:
    from lamina.linux import drivers

    return drivers.choose(text).driver


def count(option: str, *, least: int = 1) -> Callable[[str], int]:
    """Reads the number that an option takes; raises UserError for what is none."""

    def read(text: str) -> int:
        # Not `isdigit`: there are digits that `int` does not take.
        if not text.isdecimal() or int(text) < least:
            raise UserError(f"`{option}` takes a number from {least} upwards, not `{text}`")
        return int(text)

    return read


def complete(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Let the last argument be completed to one of some words, which need not be all."""
    parser._actions[-1].completer = lambda **_: list(words)  # type: ignore[attr-defined]


def _complete_labels(parser: argparse.ArgumentParser) -> None:
    parser._actions[-1].completer = labels  # type: ignore[attr-defined]


def labels(prefix: str, **_: Any) -> list[str]:
    """The targets of the workspace that a word may become; argcomplete shows no errors."""
    from lamina.cli.session import Options, Session

    with Session(Options(1, quiet=True)) as session:
        folder = prefix.partition(":")[0].rpartition("/")[0]
        patterns = [f"{folder}/..." if folder.strip("/") else "//..."]
        return [str(label) for label in session.labels(patterns)]
