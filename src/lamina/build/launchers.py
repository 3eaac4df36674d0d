"""The small scripts by which a program in a package root is started.

A launcher is a POSIX shell script at the top of the package root. It is started by its own path,
or by `xarexec` as `sh -e <launcher> <xar file> <arguments>`; it finds the package root from its
own place, so it works wherever that is mounted, extracted or copied to.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from lamina.build.providers import LIBRARIES

ROOT = "\0root\0/"  # stands for the package root, before a path in arguments and environment
BOOTSTRAPS = ".lamina"  # where, in a package root, Python programs are started from
TESTING = "lamina_testing"  # the module beside them that runs tests

_HEAD = """\
#!/bin/sh
self=$0
[ ! -L "$self" ] || self=$(readlink -f -- "$self")
case $self in
  /*) root=${self%/*} ;;
  */*) root=$PWD/${self%/*} ;;
  *) root=$PWD ;;
esac
case $- in
  *e*)
    # Started by xarexec (nobody else says `sh -e`, and no variable tells of all its versions): the
    # first argument is the XAR file.
    line=
    if [ -r "${1-}" ] && [ -f "$1" ]; then
      IFS= read -r line < "$1" || :
    fi
    if [ "$line" = '#!/usr/bin/env xarexec_fuse' ]; then
      shift
    fi
    ;;
esac
if [ -r "$root/.lamina/version" ]; then
  # No mount of lamina's, which would have set these: an archive, a folder, a XAR of the whole.
  IFS= read -r LAMINA_VERSION < "$root/.lamina/version" || :
  LAMINA_PACKAGE=$root
  export LAMINA_PACKAGE LAMINA_VERSION
fi
"""

# Tests start in the package root, and get paths from there: they put folders in front of them.
_PLACE = """\
place=$root/
if [ "$PWD" = "${TEST_SRCDIR-}/${TEST_WORKSPACE-}" ]; then
  place=
fi
"""

_SHARED = f"""\
if [ -d "$root/{LIBRARIES}" ]; then
  LD_LIBRARY_PATH=$root/{LIBRARIES}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}
  export LD_LIBRARY_PATH
fi
"""

_PYTHON = """\
unset PYTHONPATH PYTHONHOME PYTHONSAFEPATH
python=${{LAMINA_PYTHON:-{path}}}
if [ ! -x "$python" ] && ! python=$(command -v {name}); then
  echo "{launcher}: this program needs {name}, which is not on this machine" >&2
  exit 127
fi
{preload}exec "$python" -sS "$root/{bootstrap}"{arguments} "$@"
"""

_SCRIPT = """\
BUCK_PROJECT_ROOT=$root
BUCK_DEFAULT_RUNTIME_RESOURCES=$root
export BUCK_PROJECT_ROOT BUCK_DEFAULT_RUNTIME_RESOURCES
script=$root/{script}
if [ -x "$script" ] && [ "$(head -c 2 -- "$script")" = '#!' ]; then
  exec "$script"{arguments} "$@"
fi
exec /bin/bash "$script"{arguments} "$@"
"""

# Every start pays for what this imports: these are part of every interpreter, and of modules that
# programs may not need themselves (`os`, `site`: a quarter of the start of a small program).
_PATHS = """\
    import builtins
    import posix
    from _sitebuiltins import Quitter, _Helper

    root = sys.path[0][: -len("/{folder}")]
    packages = root + "/site-packages"
    sys.path[0:1] = [root, {imports}packages]
    builtins.quit = Quitter("quit", "Ctrl-D (i.e. EOF)")
    builtins.exit = Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.help = _Helper()
    try:
        hooks = ".pth" in " ".join(posix.listdir(packages))
    except OSError:
        hooks = False  # no installed packages are in it
    if hooks:
        import site

        site.addsitedir(packages)
"""

_PREPARE = """\
    sys.path.insert(0, root + "/{folder}")
    import {module} as testing
    del sys.path[0]
"""

_BOOTSTRAP = (
    '''\
"""Starts `{main}` with the package root, and nothing of the machine's, on sys.path.

`LAMINA_MAIN=[SCRIPT=]MODULE[:FUNCTION]` starts something else of the package.
"""
import sys


def start():
'''
    + _PATHS
    + """\
    from _frozen_importlib_external import PathFinder

    name, function = {main!r}, {function!r}
    if b"LAMINA_MAIN" in posix.environ:
        import os

        script, _, other = os.environ.pop("LAMINA_MAIN").rpartition("=")
    else:
        script = other = ""
    if other:
        name, _, function = other.partition(":")
        del sys.argv[1 : 1 + {count}]  # the arguments of `{main}`
    parent = name.rpartition(".")[0]
    if parent:
        __import__(parent)
    if function:
        __import__(name)
        sys.argv[0] = script or sys.modules[name].__file__
        called = sys.modules[name]
        for word in function.split("."):
            called = getattr(called, word)
        return lambda: sys.exit(called())
    spec = PathFinder.find_spec(name, sys.modules[parent].__path__ if parent else None)
    if spec is None or spec.loader is None:
        sys.exit("{launcher}: there is no Python module " + name + " in this package")
{prepare}    code = spec.loader.get_code(name)
    main = vars(sys.modules["__main__"])
    main.update(
        __spec__=spec, __file__=spec.origin, __cached__=spec.cached, __loader__=spec.loader,
        __package__=spec.parent, __doc__=None,
    )
    sys.argv[0] = spec.origin
    del main["start"]
    return lambda: exec(code, main)
"""
)

_BOTH = "''':'\n"  # the shell runs on from here, for Python a text begins
_ABOVE = """\
name=${self##*/}
root=$(CDPATH='' cd -- "$root/.." && pwd)
"""
_INSTALLED = """\
'''
import sys

if __name__ == "__main__":
    import site

    root = sys.path[0][:-4]
    sys.path[0:1] = [root, root + "/site-packages"]
    site.setquit()
    site.sethelper()
    site.addsitedir(root + "/site-packages")
    @CODE@
"""

_TESTS = (
    '''\
"""Runs the tests of `{main}`, with the package root on sys.path."""
import sys


def start():
'''
    + _PATHS
    + _PREPARE
    + """\
    return lambda: sys.exit(testing.main(root, {modules!r}, {framework!r}))
"""
)

# Not in a process that multiprocessing spawned.
_START = """
{facts}
if __name__ == "__main__":
    start()()
"""


def native_launcher(
    program: str, environment: Mapping[str, str], arguments: Sequence[str] = ()
) -> bytes:
    """A launcher for a native program at a path of the package root.

    The arguments come before those that it is started with; in them and in the environment `ROOT`
    stands for the package root.
    """
    start = f'exec "$root/{program}"{_words(arguments)} "$@"\n'
    return "".join((_HEAD, _given(environment, arguments), start)).encode()


def script_launcher(
    script: str, environment: Mapping[str, str], arguments: Sequence[str] = ()
) -> bytes:
    """As `native_launcher`, for a script that says itself what runs it, or is one for bash."""
    start = _SCRIPT.format(script=script, arguments=_words(arguments))
    return "".join((_HEAD, _SHARED, _given(environment, arguments), start)).encode()


def python_launcher(
    name: str,
    bootstrap: str,
    interpreter: tuple[str, str],
    environment: Mapping[str, str],
    arguments: Sequence[str] = (),
    preload: Sequence[str] = (),
) -> bytes:
    """A launcher for a Python program; environment and arguments as of `native_launcher`.

    `interpreter` is its path at the build and its name (`python3.11`), which is looked for on
    PATH where the path is not there. Shared libraries can be opened by name, as through ctypes;
    those of `preload`, by path in the package root, are loaded before all others.
    """
    path, command = interpreter
    return "".join(
        (
            _HEAD,
            _SHARED,
            _given(environment, arguments),
            _PYTHON.format(
                path=path,
                name=command,
                launcher=name,
                bootstrap=bootstrap,
                preload=_preload(preload),
                arguments=_words(arguments),
            ),
        )
    ).encode()


def installed_script(path: str, version: str) -> bytes:
    """A program in `bin/` of a package root, with `@CODE@` for what it does in Python.

    It is a shell script that starts itself as one of Python: one file works wherever it lies.
    """
    start = _PYTHON.format(
        path=versioned(path, version),
        name=f"python{version}",
        launcher="$name",
        bootstrap="bin/$name",
        preload="",
        arguments="",
    )
    head = _HEAD.removeprefix("#!/bin/sh\n")
    return "".join(("#!/bin/sh\n", _BOTH, head, _ABOVE, _SHARED, start, _INSTALLED)).encode()


def versioned(path: str, version: str) -> str:
    """`/usr/bin/python3` -> `/usr/bin/python3.11`: a node's other python3 must not be taken."""
    return f"{path.rpartition('/')[0]}/python{version}"


def _preload(libraries: Sequence[str]) -> str:
    if not libraries:
        return ""
    paths = ":".join(f"$root/{path}" for path in libraries)
    return f'LD_PRELOAD="{paths}${{LD_PRELOAD:+:$LD_PRELOAD}}" '


def python_bootstrap(
    folder: str,
    launcher: str,
    main: str,
    function: str,
    imports: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    test: bool = False,
) -> bytes:
    """The script in a folder of the package root that a Python launcher starts.

    It runs the module `main`, or a function in it.

    Environment and arguments are those of the launcher, for who starts without one. That of a
    `test` loads TESTING first, which measures and reports.
    """
    prepare = f"{_PREPARE}    testing.prepare(root, spec.origin)\n" if test else ""
    text = _BOOTSTRAP.replace("{prepare}", prepare) + _START
    given = {"environment": dict(sorted((environment or {}).items())), "arguments": [*arguments]}
    facts = "".join(f"\nstart.{name} = {value!r}" for name, value in given.items() if value)
    return text.format(
        folder=folder,
        launcher=launcher,
        main=main,
        function=function,
        imports=_below_root(imports),
        count=len(arguments),
        module=TESTING,
        facts=f"{facts}\n" if facts else "",
    ).encode()


def tests_bootstrap(
    folder: str, label: str, modules: Sequence[str], framework: str, imports: Sequence[str]
) -> bytes:
    """The script that a launcher starts to run the tests in modules, by path in the root."""
    return (
        (_TESTS + _START)
        .format(
            folder=folder,
            main=label,
            modules=list(modules),
            framework=framework,
            imports=_below_root(imports),
            module=TESTING,
            facts="",
        )
        .encode()
    )


def _below_root(imports: Sequence[str]) -> str:
    """Paths in the package root, as the script's own are."""
    return "".join(f"root + {f'/{path}'!r}, " for path in imports)


def _given(environment: Mapping[str, str], arguments: Sequence[str]) -> str:
    """Sets the environment, and before it what paths in it and in the arguments start with."""
    placed = any(ROOT in text for text in (*environment.values(), *arguments))
    exports = [f"export {name}={_quoted(value)}\n" for name, value in sorted(environment.items())]
    return "".join((_PLACE if placed else "", *exports))


def _words(arguments: Sequence[str]) -> str:
    return "".join(f" {_quoted(argument)}" for argument in arguments)


def _quoted(text: str) -> str:
    """A word for the shell, with the package root where `ROOT` stands."""
    pieces = [piece and shlex.quote(piece) for piece in text.split(ROOT)]
    return '"$place"'.join(pieces) or "''"
