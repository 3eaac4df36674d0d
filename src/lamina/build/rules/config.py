"""Rules that make no files: conditions of `select()`, flags, platforms and groups of packages.

What they mean is decided in `lamina.build.conditions` and `lamina.build.visibility`.
"""

from __future__ import annotations

from collections.abc import Mapping

from lamina.build.analysis import Context, RuleFault
from lamina.build.attributes import Attribute, Kind
from lamina.build.checks import faults_of_group
from lamina.build.conditions import setting_of
from lamina.build.providers import Analysed
from lamina.build.rule import Rule


def nothing(ctx: Context) -> Analysed:
    """A target that is only looked at."""
    return Analysed(ctx.label)


def package_group(ctx: Context) -> Analysed:
    """`package_group`: nothing is made, but what it lists must be packages."""
    home = ctx.cells.home(ctx.label.cell, ctx.label.package)
    for entry in faults_of_group(ctx.target, home):
        raise RuleFault(
            f"not a build package: `{entry}`",
            hint='write `"//a"`, `"//a/..."`, or `"-//a/b"` for what is not among them',
            attribute="packages",
        )
    return Analysed(ctx.label)


def setting(ctx: Context) -> Analysed:
    """A flag, with its value in this configuration."""
    return Analysed(ctx.label, setting=setting_of(ctx.target, ctx.configuration))


def _flag(name: str, kind: Kind, doc: str, more: Mapping[str, Attribute] | None = None) -> Rule:
    """A build setting, and under another name one that only a configuration sets."""
    attributes = {
        "build_setting_default": Attribute(kind, doc="its value where no flag gives one"),
        "scope": Attribute(Kind.ANY),
        "help": Attribute(Kind.ANY),
        **(more or {}),
    }
    return Rule(f"{name}_flag", attributes, setting, names=(f"{name}_setting",), doc=doc)


_VALUES = {"values": Attribute(Kind.STRING_LIST, doc="the values it may have; none: any")}
_MAKE = {"make_variable": Attribute(Kind.ANY)}
# By which a platform of older Bazel said that it is whatever the machine is.
_FORMERLY = ("cpu_constraints", "host_platform", "os_constraints", "target_platform")

RULES = (
    Rule(
        "config_setting",
        {
            "values": Attribute(Kind.STRING_DICT, doc="options of the build, as `cpu`"),
            "define_values": Attribute(Kind.STRING_DICT, doc="values given by `--define`"),
            "flag_values": Attribute(Kind.LABEL_DICT, doc="values of flags, by their label"),
            "constraint_values": Attribute(Kind.LABEL_LIST, doc="what the platform must have"),
        },
        nothing,
        doc="A condition of `select()`: all that it says must hold.",
    ),
    Rule(
        "config_setting_group",
        {
            "match_any": Attribute(Kind.LABEL_LIST, doc="conditions, of which one must hold"),
            "match_all": Attribute(Kind.LABEL_LIST, doc="conditions, which all must hold"),
        },
        nothing,
        doc="A condition made of conditions.",
    ),
    Rule(
        "constraint_setting",
        {
            "default_constraint_value": Attribute(
                Kind.STRING, doc="name of the value that a platform has which says nothing"
            ),
        },
        nothing,
        doc="A way in which platforms differ.",
    ),
    Rule(
        "constraint_value",
        {
            "constraint_setting": Attribute(Kind.LABEL, required=True, doc="what it is a value of"),
        },
        nothing,
        doc="What a platform can be like; a condition of `select()` too.",
    ),
    Rule(
        "platform",
        {
            "constraint_values": Attribute(Kind.LABEL_LIST, doc="what it is like"),
            "parents": Attribute(Kind.LABEL_LIST, doc="the platform it is else like"),
            "exec_properties": Attribute(Kind.ANY),
            "remote_execution_properties": Attribute(Kind.ANY),
            "flags": Attribute(Kind.ANY),
            "required_settings": Attribute(Kind.ANY),
            "missing_toolchain_error": Attribute(Kind.ANY),
            **dict.fromkeys(_FORMERLY, Attribute(Kind.ANY)),
        },
        nothing,
        doc="What programs are built for: `--platforms`.",
    ),
    _flag("bool", Kind.BOOLEAN, "A flag that is true or false: `--//folder:name`."),
    _flag("string", Kind.STRING, "A flag with a text.", {**_VALUES, **_MAKE}),
    _flag("int", Kind.INTEGER, "A flag with a number.", {**_VALUES, **_MAKE}),
    _flag(
        "string_list",
        Kind.STRING_LIST,
        "A flag with several texts.",
        {"repeatable": Attribute(Kind.BOOLEAN, doc="it is given once for each")},
    ),
    Rule(
        "compiler_flag",
        {},
        nothing,
        doc="A flag that is `gcc` or `clang`, as the C++ toolchain is.",
    ),
    Rule(
        "package_group",
        {
            "packages": Attribute(
                Kind.STRING_LIST, doc="`//a`, `//a/...`; with `-` in front not these"
            ),
            "includes": Attribute(Kind.LABEL_LIST, doc="groups that are part of it"),
        },
        package_group,
        doc="Build packages, to be named in `visibility`.",
    ),
    Rule(
        "license",
        {
            name: Attribute(Kind.ANY)
            for name in (
                "license_kind", "license_kinds", "license_text", "package_name", "package_url",
                "package_version", "copyright_notice", "namespace",
            )
        },
        nothing,
        doc="Accepted; nothing is done with it.",
    ),
    Rule(
        "package_info",
        {name: Attribute(Kind.ANY) for name in ("package_name", "package_url", "package_version")},
        nothing,
        doc="Accepted; nothing is done with it.",
    ),
)  # fmt: skip
