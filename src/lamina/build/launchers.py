"""The small scripts by which a program in a package root is started.

A launcher is a POSIX shell script at the top of the package root. It is started by its own path,
or by `xarexec` as `sh -e <launcher> <xar file> <arguments>`; it finds the package root from its
own place, so it works wherever that is mounted, extracted or copied to.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from lamina.build.providers import LIBRARIES

BOOTSTRAPS = ".lamina"  # where, in a package root, Python programs are started from

_HEAD = """\
#!/bin/sh
self=$0
[ ! -L "$self" ] || self=$(readlink -f -- "$self")
case $self in
  /*) root=${self%/*} ;;
  */*) root=$PWD/${self%/*} ;;
  *) root=$PWD ;;
esac
if [ -n "${XAREXEC_LAUNCH_TIMESTAMP-}" ] && [ -r "${1-}" ] && [ -f "$1" ]; then
  # Started by xarexec: the first argument is the XAR file. A program that this one starts must
  # not take its own first argument for one.
  line=
  IFS= read -r line < "$1" || :
  if [ "$line" = '#!/usr/bin/env xarexec_fuse' ]; then
    shift
  fi
  unset XAREXEC_LAUNCH_TIMESTAMP
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
exec "$python" -sS "$root/{bootstrap}" "$@"
"""

_BOOTSTRAP = '''\
"""Starts `{main}` with the package root, and nothing of the machine's, on sys.path."""
import sys


def start():
    from importlib.machinery import PathFinder
    import site

    root = sys.path[0][: -len("/{folder}")]
    sys.path[0:1] = [root, *[root + "/" + path for path in {imports!r}], root + "/site-packages"]
    site.setquit()
    site.sethelper()
    name, function = {main!r}, {function!r}
    parent = name.rpartition(".")[0]
    if parent:
        __import__(parent)
    if function:
        __import__(name)
        sys.argv[0] = sys.modules[name].__file__
        return lambda: sys.exit(getattr(sys.modules[name], function)())
    spec = PathFinder.find_spec(name, sys.modules[parent].__path__ if parent else None)
    if spec is None or spec.loader is None:
        sys.exit("{launcher}: there is no Python module " + name + " in this package")
    code = spec.loader.get_code(name)
    main = sys.modules["__main__"]
    main.__spec__ = spec
    main.__file__ = spec.origin
    main.__cached__ = spec.cached
    main.__loader__ = spec.loader
    main.__package__ = spec.parent
    main.__doc__ = None
    sys.argv[0] = spec.origin
    del main.start
    return lambda: exec(code, vars(main))


if __name__ == "__main__":  # not in a process that multiprocessing spawned
    start()()
'''


def native_launcher(program: str, environment: Mapping[str, str]) -> bytes:
    """A launcher for a native program at a path of the package root."""
    return "".join((_HEAD, _exports(environment), f'exec "$root/{program}" "$@"\n')).encode()


def python_launcher(
    name: str,
    bootstrap: str,
    interpreter: tuple[str, str],
    environment: Mapping[str, str],
) -> bytes:
    """A launcher for a Python program.

    `interpreter` is its path at the build and its name (`python3.11`), which is looked for on
    PATH where the path is not there. Shared libraries can be opened by name, as through ctypes.
    """
    path, command = interpreter
    return "".join(
        (
            _HEAD,
            _SHARED,
            _exports(environment),
            _PYTHON.format(path=path, name=command, launcher=name, bootstrap=bootstrap),
        )
    ).encode()


def python_bootstrap(
    bootstrap: str, launcher: str, main: str, function: str, imports: Sequence[str]
) -> bytes:
    """The script that a Python launcher starts: it runs the module `main`, or a function in it."""
    return _BOOTSTRAP.format(
        folder=bootstrap.rpartition("/")[0],
        launcher=launcher,
        main=main,
        function=function,
        imports=list(imports),
    ).encode()


def _exports(environment: Mapping[str, str]) -> str:
    return "".join(
        f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items())
    )
