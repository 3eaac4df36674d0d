"""Python code that others have released: wheels and sdists, by file or as a lock has them."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.build.analysis import Context, RuleFault
from lamina.build.attributes import Attribute, Kind
from lamina.build.providers import Analysed, Origin, Runnable
from lamina.build.rule import Rule
from lamina.build.rules.running import RUNNING, arguments, environment
from lamina.core.action import Artifact, Literal
from lamina.core.classes import dataclass
from lamina.core.label import Label
from lamina.formats.launcher import script_launcher
from lamina.formats.pylock import Archive


def prebuilt(ctx: Context) -> Analysed:
    """`prebuilt_python_library`: what is in a wheel, as it would be installed."""
    from lamina.build.wheels import actions

    source = ctx.source("binary_src")
    if source is None or not source.full.endswith(".whl"):
        raise RuleFault(
            "it has no wheel in `binary_src`",
            hint='name one file: `binary_src = "name-1.0-py3-none-any.whl"`',
            attribute="binary_src",
        )
    name = source.full.rpartition("/")[2]
    _check_fits(ctx, name, source.path, source.label)
    return _with_files(
        ctx,
        ctx.deps("deps"),
        actions.unpacked(ctx, (name, source.artifact), "", ctx.texts("exclude")),
        Origin(*_said(name), ecosystem="pypi", file=source.artifact),
    )


def _said(name: str) -> tuple[str, str]:
    """Name and version of a wheel, by its file name."""
    from packaging.utils import canonicalize_name

    parts = name.split("-")
    return str(canonicalize_name(parts[0])), parts[1]


def _check_fits(ctx: Context, name: str, shown: str, label: Label) -> None:
    """Raises RuleFault for a wheel that is for another interpreter."""
    parts = name.removesuffix(".whl").split("-")
    if len(parts) not in (5, 6):
        raise RuleFault(
            f"`{shown}` is not named as wheels are",
            hint="`name-version-python-abi-platform.whl`",
            mention=label,
        )
    if ctx.toolchains.python_platform.rank(name) is not None:
        return
    version = ctx.toolchains.python.version
    raise RuleFault(
        f"`{shown}` is for {_for(name)}, and Python is {version} here",
        hint="`interpreter` in `[python]` of `lamina.toml` names the interpreter",
        mention=label,
    )


def _for(name: str) -> str:
    """What a wheel is for, in words."""
    python, abi, system = name.removesuffix(".whl").split("-")[-3:]
    more = [part for part in (abi, system) if part not in ("none", "any")]
    return " ".join([python.replace(".", ", "), *more])


def _with_files(
    ctx: Context, deps: Iterable[Analysed], own: dict[str, Artifact], origin: Origin | None = None
) -> Analysed:
    below = list(deps)
    return Analysed(
        ctx.label,
        own=own,
        runtime=tuple(dict.fromkeys(dep.label for dep in below)),
        imports=tuple(dict.fromkeys(path for dep in below for path in dep.imports)),
        origin=origin,
    )


def distribution(ctx: Context) -> Analysed:
    """`python_distribution`: one of a lock, or what stands for several of them."""
    if not ctx.text("distribution"):
        return _with_files(ctx, _needed(ctx, "deps"), {})
    chosen = _Choice(ctx).made()
    if chosen is None:
        return Analysed(ctx.label, unfit=_unfit(ctx))
    own, origin = chosen
    return _with_files(ctx, _needed(ctx, "deps"), own, origin)


def _needed(ctx: Context, attribute: str) -> list[Analysed]:
    """The targets of a dict whose markers hold; raises RuleFault for one that is not for here."""
    platform = ctx.toolchains.python_platform
    found = []
    for label, marker in ctx.marked(attribute):
        if platform.holds(marker):
            found.append(ctx.usable(label))
    return found


def _unfit(ctx: Context) -> str:
    python = ctx.toolchains.python
    name = f"{ctx.text('distribution')} {ctx.text('version')}"
    return f"no wheel of {name} is for Python {python.version} on this machine, and it has no sdist"


@dataclass(slots=True)
class _Choice:
    """Which archive of a distribution is taken: the wheel that fits best, else the sdist."""

    ctx: Context

    def made(self) -> tuple[dict[str, Artifact], Origin] | None:
        """What it becomes, and where it comes from; None where nothing fits."""
        from lamina.build.wheels import actions

        ctx = self.ctx
        wheels = self._archives("wheels", "wheel_files")
        best = ctx.toolchains.python_platform.best(wheels)
        exclude = ctx.texts("exclude")
        if best is not None:
            wheel = (best.name, self._file(best, wheels[best]))
            return actions.unpacked(ctx, wheel, _unchecked(best), exclude), self._origin(best)
        for sdist, digest in self._archives("sdist", "sdist_file").items():
            source = (sdist.name, self._file(sdist, digest))
            closure: dict[Label, Analysed] = {}
            for tool in _needed(ctx, "builds_with"):
                closure.update((each.label, each) for each in ctx.runtime_closure(tool))
            made = actions.built(ctx, source, _unchecked(sdist), closure.values())
            return actions.unpacked(ctx, made, "", exclude, sdist.name), self._origin(sdist)
        return None

    def _archives(self, remote: str, local: str) -> dict[Archive, str | Label]:
        """Archives, each with the digest as it is written, or with the label of its file."""
        found: dict[Archive, str | Label] = {}
        for url, digest in self.ctx.pairs(remote):
            found[Archive(url, digest.partition("/")[0])] = digest
        for label, sha256 in self.ctx.marked(local):
            found[Archive(label.name, sha256, local=True)] = label
        return found

    def _file(self, archive: Archive, known: str | Label) -> Artifact:
        from lamina.build.wheels import actions

        if isinstance(known, Label):
            return self.ctx.files(known)[0].artifact
        return actions.fetched(self.ctx, archive.place, known)

    def _origin(self, archive: Archive) -> Origin:
        ctx = self.ctx
        address = "" if archive.local else archive.place
        name, version = ctx.text("distribution"), ctx.text("version")
        return Origin(name, version, "pypi", address, archive.sha256)


def _unchecked(archive: Archive) -> str:
    """The digest that an archive is yet to be compared with: what is fetched has been."""
    return archive.sha256 if archive.local else ""


def console_script(ctx: Context) -> Analysed:
    """`python_console_script`: a program that a distribution brings."""
    dep = ctx.label_of("dep")
    assert dep is not None
    deps = [ctx.usable(dep), *ctx.deps("deps")]
    script = ctx.text("script") or ctx.program_name
    launcher = script_launcher(f"bin/{script}", environment(ctx), arguments(ctx))
    runtime = tuple(dict.fromkeys(dep.label for dep in deps))
    name = ctx.launcher_name((), runtime)
    python = ctx.toolchains.python
    return Analysed(
        ctx.label,
        own={name: Literal(launcher, executable=True)},
        runtime=runtime,
        imports=tuple(dict.fromkeys(path for dep in deps for path in dep.imports)),
        runnable=Runnable(name, f"python{python.version}", python.identity, python.mounts),
    )


_EXCLUDE = Attribute(Kind.STRING_LIST, doc="patterns of modules and files that are left out")

RULES = (
    Rule(
        "prebuilt_python_library",
        {
            "binary_src": Attribute(Kind.SOURCE, doc="a wheel"),
            "deps": Attribute(Kind.LABEL_LIST, doc="libraries it needs"),
            "exclude": _EXCLUDE,
            **{
                name: Attribute(Kind.ANY)
                for name in (
                    "strip_soabi_tags", "cxx_header_dirs", "preprocessor_flags", "compile",
                    "infer_cxx_header_dirs", "exclude_deps_from_merged_linking",
                    "ignore_compile_errors",
                )
            },
        },
        prebuilt,
        doc="A wheel that somebody else has made.",
    ),
    Rule(
        "python_distribution",
        {
            "distribution": Attribute(Kind.STRING, doc="its name; without it there are only deps"),
            "version": Attribute(Kind.STRING, doc="its version"),
            "wheels": Attribute(
                Kind.STRING_DICT, doc="address of a wheel → its sha256, and `/` and its size"
            ),
            "wheel_files": Attribute(Kind.LABEL_DICT, doc="wheel in the workspace → its sha256"),
            "sdist": Attribute(Kind.STRING_DICT, doc="as `wheels`; built where no wheel fits"),
            "sdist_file": Attribute(Kind.LABEL_DICT, doc="as `wheel_files`"),
            "deps": Attribute(Kind.LABEL_DICT, doc="what it needs → under which marker"),
            "builds_with": Attribute(
                Kind.LABEL_DICT, doc="what building its sdist needs → under which marker"
            ),
            "exclude": _EXCLUDE,
        },
        distribution,
        doc="A distribution of a lock file, as `python_requirements` declares it.",
    ),
    Rule(
        "python_console_script",
        {
            "dep": Attribute(Kind.LABEL, required=True, doc="the distribution that brings it"),
            "script": Attribute(Kind.STRING, doc="its name; that of the target by default"),
            "deps": Attribute(Kind.LABEL_LIST, doc="more that it can import, as plugins"),
            **RUNNING,
        },
        console_script,
        aliases={"pkg": "dep", "runtime_env": "env"},
        names=("py_console_script_binary",),
        doc="A program that a distribution brings, as `black` or `pytest`.",
    ),
)  # fmt: skip
