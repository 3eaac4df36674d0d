"""Projects of others, built by their own build systems: make, CMake, configure scripts.

The attributes have the names that `rules_foreign_cc` has for them.
"""

from __future__ import annotations

import shlex

from lamina.build.analysis import Context
from lamina.build.attributes import Attribute, Kind
from lamina.build.disk import join
from lamina.build.providers import Analysed
from lamina.build.rule import Rule
from lamina.build.rules import project_script as steps
from lamina.build.rules.project_build import Project


def make_project(ctx: Context) -> Analysed:
    """`make_project`, `make`: a project with a Makefile."""

    def body(project: Project) -> list[str]:
        arguments = [f"PREFIX={project.install}", f"prefix={project.install}"]
        if ctx.flag("destdir"):
            arguments = [f"PREFIX={steps.PREFIX}", f"prefix={steps.PREFIX}"]
            arguments.append(f"DESTDIR={steps.BUILD}/dest")
        arguments += project.words("args")
        return steps.make(arguments, project.targets(("", "install")))

    return Project(ctx, ("make",)).analysed(body)


def configure_make(ctx: Context) -> Analysed:
    """`configure_make`: a project with a configure script."""

    def body(project: Project) -> list[str]:
        prefix, more = project.install, list[str]()
        if ctx.flag("destdir"):
            prefix, more = steps.PREFIX, [f"DESTDIR={steps.BUILD}/dest"]
        command = ctx.text("configure_command")
        flag = ctx.text("prefix_flag")
        words = [f"{flag}{prefix}", *project.words("configure_options")]
        arguments = [*more, *project.words("args")]
        return [
            *_autogen(ctx),
            f"[ -e {shlex.quote(command)} ] || {{ echo 'it has no {command}' >&2; exit 1; }}",
            # What a project with `configure` before it was built has left may be older than that.
            shlex.join(("/bin/bash", command, *words))
            if command.endswith(("configure", ".sh"))
            else shlex.join((f"./{command}", *words)),
            *steps.make(arguments, project.targets(("", "install"))),
        ]

    return Project(ctx, ("make",)).analysed(body)


def _autogen(ctx: Context) -> list[str]:
    if ctx.flag("autogen"):
        words = (ctx.text("autogen_command"), *ctx.texts("autogen_options"))
        return [shlex.join(("/bin/bash", *words))]
    if ctx.flag("autoreconf"):
        return [shlex.join(("autoreconf", *(ctx.texts("autoreconf_options") or ("-fi",))))]
    return []


def cmake_project(ctx: Context) -> Analysed:
    """`cmake_project`, `cmake`: a project with a `CMakeLists.txt`."""

    def body(project: Project) -> list[str]:
        debugged = ctx.configuration.compilation_mode == "dbg"
        settings = {
            "CMAKE_BUILD_TYPE": "Debug" if debugged else "Release",
            "CMAKE_INSTALL_PREFIX": steps.PREFIX,
            "CMAKE_INSTALL_LIBDIR": "lib",
            "CMAKE_POSITION_INDEPENDENT_CODE": "ON",
            "CMAKE_INSTALL_RPATH": "$ORIGIN;$ORIGIN/../lib",
            "CMAKE_BUILD_RPATH_USE_ORIGIN": "ON",
            "CMAKE_EXPORT_NO_PACKAGE_REGISTRY": "ON",
            "CMAKE_FIND_USE_PACKAGE_REGISTRY": "OFF",
            **dict(project.pairs("cache_entries")),
        }
        entries = [f"-D{name}={value}" for name, value in settings.items()]
        tools = '-DCMAKE_AR="$(command -v "$AR")" -DCMAKE_RANLIB="$(command -v "$RANLIB")"'
        build = shlex.quote(f"{steps.BUILD}/build")
        folder = join(steps.SOURCES, ctx.text("working_directory"))
        words = [
            "--no-warn-unused-cli",
            *_generator(project),
            *entries,
            *project.words("generate_args"),
        ]
        chosen = [word for target in project.targets(()) for word in ("--target", target)]
        more = [*project.words("build_args"), *chosen]
        commands = [
            f"cmake -S {shlex.quote(folder)} -B {build} {shlex.join(words)} {tools}",
            f'cmake --build {build} -j"$jobs" {shlex.join(more)}',
        ]
        if ctx.flag("install"):
            words = project.words("install_args")
            commands.append(
                f"DESTDIR={steps.BUILD}/dest cmake --install {build} {shlex.join(words)}"
            )
        return commands

    return Project(ctx, ("cmake", "make")).analysed(body)


def _generator(project: Project) -> list[str]:
    given = project.words("generate_args")
    return [] if any(word.startswith("-G") for word in given) else ["-G", "Unix Makefiles"]


_COMMON = {
    "lib_source": Attribute(
        Kind.LABEL, doc="the sources: an archive target, or a `filegroup` of files"
    ),
    "srcs": Attribute(Kind.SOURCES, doc="files of the sources, which lie below one folder"),
    "working_directory": Attribute(Kind.STRING, doc="where in the sources it is built"),
    "deps": Attribute(
        Kind.LABEL_LIST, doc="libraries that it finds by `CPPFLAGS`, `LDFLAGS`, pkg-config, CMake"
    ),
    "resources": Attribute(Kind.SOURCES, doc="files that it needs when it runs"),
    "build_data": Attribute(
        Kind.SOURCES, doc="programs on its `PATH` while it is built, and files for it"
    ),
    "env": Attribute(Kind.STRING_DICT, doc="environment while it is built"),
    "targets": Attribute(Kind.STRING_LIST, doc="what is made, one after another"),
    "copts": Attribute(Kind.STRING_LIST, doc="added to `CFLAGS` and `CXXFLAGS`"),
    "out_static_libs": Attribute(
        Kind.STRING_LIST, doc="archives in its `lib`, dependents before what they need"
    ),
    "out_shared_libs": Attribute(Kind.STRING_LIST, doc="shared libraries in its `lib`"),
    "out_binaries": Attribute(
        Kind.STRING_LIST, doc="programs in its `bin`; `lamina run` starts the first"
    ),
    "out_headers_only": Attribute(Kind.BOOLEAN, doc="it has headers and no code"),
    "out_data_files": Attribute(
        Kind.STRING_LIST, doc="files it installs that are needed when it runs"
    ),
    "out_data_dirs": Attribute(Kind.STRING_LIST, doc="folders of them"),
    "out_include_dir": Attribute(Kind.STRING, "include", doc="where it installs headers"),
    "out_lib_dir": Attribute(Kind.STRING, "lib", doc="where it installs libraries"),
    "out_bin_dir": Attribute(Kind.STRING, "bin", doc="where it installs programs"),
    "sub_targets": Attribute(
        Kind.OUTPUTS, doc="paths of what it installs that are `:target[path]`, or by a name"
    ),
    "includes": Attribute(Kind.STRING_LIST, doc="folders of headers, for dependents to search too"),
    "defines": Attribute(Kind.STRING_LIST, doc="definitions for dependents"),
    "linkopts": Attribute(Kind.STRING_LIST, doc="for every link that it ends up in"),
    "additional_linker_inputs": Attribute(Kind.SOURCES, doc="files that `linkopts` names"),
    "alwayslink": Attribute(Kind.BOOLEAN, doc="whether all of it is linked, be it called or not"),
    "postfix_script": Attribute(
        Kind.STRING, doc="commands for bash at the end, in the folder of what was installed"
    ),
    "lib_name": Attribute(Kind.ANY),
    "tool_prefix": Attribute(Kind.ANY),
    "static_suffix": Attribute(Kind.ANY),
    "resource_size": Attribute(Kind.ANY),
}
_ALIASES = {
    "data": "resources",
    "out_headers_dir": "out_include_dir",
    "tools_deps": "build_data",
    "additional_tools": "build_data",
}
_DESTDIR = "whether it is installed by `DESTDIR`, and not by its prefix"

RULES = (
    Rule(
        "make_project",
        {
            **_COMMON,
            "args": Attribute(Kind.STRING_LIST, doc='for make, such as `"PREFIX=$INSTALLDIR"`'),
            "destdir": Attribute(Kind.BOOLEAN, doc=_DESTDIR),
        },
        make_project,
        aliases={**_ALIASES, "options": "args"},
        names=("make",),
        doc="A project of others that is built by its Makefile.",
    ),
    Rule(
        "configure_make",
        {
            **_COMMON,
            "configure_command": Attribute(Kind.STRING, "configure", doc="its configure script"),
            "configure_options": Attribute(Kind.STRING_LIST, doc="for its configure script"),
            "prefix_flag": Attribute(Kind.STRING, "--prefix=", doc="how the prefix is told to it"),
            "args": Attribute(Kind.STRING_LIST, doc="for make"),
            "autogen": Attribute(Kind.BOOLEAN, doc="whether `autogen.sh` makes it"),
            "autogen_command": Attribute(Kind.STRING, "autogen.sh", doc="another such script"),
            "autogen_options": Attribute(Kind.STRING_LIST, doc="for that script"),
            "autoreconf": Attribute(Kind.BOOLEAN, doc="whether autoreconf makes it"),
            "autoreconf_options": Attribute(Kind.STRING_LIST, doc="for autoreconf"),
            "destdir": Attribute(Kind.BOOLEAN, True, doc=_DESTDIR),
            "configure_in_place": Attribute(Kind.ANY),
        },
        configure_make,
        aliases={**_ALIASES, "options": "configure_options"},
        doc="A project of others that is built by its configure script and make.",
    ),
    Rule(
        "cmake_project",
        {
            **_COMMON,
            "cache_entries": Attribute(Kind.STRING_DICT, doc="what `-D` sets"),
            "generate_args": Attribute(Kind.STRING_LIST, doc="for the first call of CMake"),
            "build_args": Attribute(Kind.STRING_LIST, doc="for `cmake --build`"),
            "install_args": Attribute(Kind.STRING_LIST, doc="for `cmake --install`"),
            "install": Attribute(Kind.BOOLEAN, True, doc="whether it is installed"),
            "generate_crosstool_file": Attribute(Kind.ANY),
        },
        cmake_project,
        aliases={**_ALIASES, "options": "generate_args"},
        names=("cmake",),
        doc="A project of others that is built by CMake.",
    ),
)
