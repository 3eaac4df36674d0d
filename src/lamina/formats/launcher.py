"""The small scripts by which a program in a package root is started.

A launcher is a POSIX shell script at the top of the package root. It is started by its own path,
or by `xarexec` as `sh -e <launcher> <xar file> <arguments>`; it finds the package root from its
own place, so it works wherever that is mounted, extracted or copied to.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

ROOT = "\0root\0/"  # stands for the package root, before a path in arguments and environment
BOOTSTRAPS = ".lamina"  # where, in a package root, programs in Python are started from
LIBRARIES = "lib"  # where shared libraries lie in a package root

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


def plain_python(name: str, bootstrap: str, command: str) -> tuple[str, str]:
    """What `python_launcher` writes without environment, arguments and preloaded libraries.

    It is the text before the interpreter's path, and the text behind that: a path of letters that
    no shell looks at may be there. Who starts that interpreter in the same way spares the shell.
    """
    before, _, behind = (
        python_launcher(name, bootstrap, ("\0", command), {}).decode().partition("\0")
    )
    return before, behind


def bootstrap_of(name: str) -> str:
    """Where, in a package root, the bootstrap of a launcher lies."""
    return f"{BOOTSTRAPS}/{name}.py"


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
