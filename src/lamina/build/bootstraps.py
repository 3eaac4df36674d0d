"""What the launcher of a program in Python starts: it runs the program's main module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

TESTING = "lamina_testing"  # the module beside bootstraps that runs tests

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
