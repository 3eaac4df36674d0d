"""Which conditions hold: options, defines, flags, constraints, groups and aliases of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import pytest

from lamina.build.conditions import Conditions, host_cpu
from lamina.build.configuration import DEFAULT, Configuration
from lamina.build.loader import Loader
from lamina.build.selects import SelectFault
from lamina.core.errors import UserError
from lamina.core.label import Label

Write = Callable[[Mapping[str, str]], Loader]


def holds(write: Write, call: str, configuration: Configuration = DEFAULT, name: str = "c") -> bool:
    """Whether the condition `c` of a BUILD file holds."""
    loader = write({"p/BUILD": call})
    return Conditions(configuration, loader.target).settings(Label("", "p", name)) is not None


@pytest.mark.parametrize(
    ("values", "configuration", "expected"),
    [
        ({"compilation_mode": "fastbuild"}, DEFAULT, True),
        ({"compilation_mode": "dbg"}, DEFAULT, False),
        ({"cpu": host_cpu()}, DEFAULT, True),
        ({"cpu": host_cpu()}, Configuration(cpu="armv7"), False),
        ({"cpu": "armv7"}, Configuration(cpu="armv7"), True),
        ({"compiler": "clang"}, Configuration(compiler="clang"), True),
        ({"define": "a=b"}, Configuration(defines=(("a", "b"),)), True),
        ({"define": "a=b"}, Configuration(defines=(("a", "c"),)), False),
        ({"copt": "-g"}, Configuration(copts=("-O2", "-g")), True),
        ({"linkopt": "-g"}, Configuration(copts=("-g",)), False),
        ({"python_version": "PY3"}, DEFAULT, True),
        ({"stamp": "0"}, DEFAULT, True),
        ({"apple_platform_type": "ios"}, DEFAULT, False),
    ],
)
def test_values_are_compared_with_the_options(
    write: Write, values: dict[str, str], configuration: Configuration, expected: bool
) -> None:
    assert holds(write, f'config_setting(name = "c", values = {values})', configuration) == expected


@pytest.mark.parametrize(
    ("flag", "given", "wanted", "expected"),
    [
        ("bool_flag(name = 'f', build_setting_default = True)", None, "True", True),
        ("bool_flag(name = 'f', build_setting_default = True)", "false", "True", False),
        ("bool_flag(name = 'f', build_setting_default = False)", "1", "true", True),
        ("string_flag(name = 'f', build_setting_default = 'a')", None, "a", True),
        ("string_flag(name = 'f', build_setting_default = 'a')", "b", "a", False),
        ("int_flag(name = 'f', build_setting_default = 1)", "12", "12", True),
        ("string_list_flag(name = 'f', build_setting_default = [])", "a,b", "b", True),
        ("string_list_flag(name = 'f', build_setting_default = [])", "a,b", "a,b", False),
        ("label_flag(name = 'f', build_setting_default = ':x')", None, "//p:f", False),
    ],
)
def test_flags_have_their_default_or_what_the_command_line_gives(
    write: Write, flag: str, given: str | None, wanted: str, expected: bool
) -> None:
    build = f'{flag}\nconfig_setting(name = "c", flag_values = {{":f": "{wanted}"}})'
    flags = () if given is None else (("//p:f", given),)

    assert holds(write, build + "\nfilegroup(name = 'x')", Configuration(flags=flags)) == expected


@pytest.mark.parametrize(
    ("flag", "given", "takes"),
    [
        ("bool_flag(name = 'f', build_setting_default = True)", "perhaps", "`true` or `false`"),
        ("int_flag(name = 'f', build_setting_default = 1)", "many", "an integer"),
        ("string_flag(name = 'f', build_setting_default = 'a', values = ['a'])", "b", "`a`"),
    ],
)
def test_a_flag_takes_only_what_it_can_be(write: Write, flag: str, given: str, takes: str) -> None:
    build = f'{flag}\nconfig_setting(name = "c", flag_values = {{":f": "a"}})'

    with pytest.raises(UserError, match=f"`--//p:f` takes {takes}, not `{given}`"):
        holds(write, build, Configuration(flags=(("//p:f", given),)))


MACHINES = """
constraint_setting(name = "size", default_constraint_value = ":small")
constraint_value(name = "small", constraint_setting = ":size")
constraint_value(name = "big", constraint_setting = ":size")
platform(name = "plain")
platform(name = "large", constraint_values = [":big", "@platforms//cpu:armv7"])
platform(name = "child", parents = [":large"], constraint_values = ["@platforms//cpu:wasm32"])
"""


@pytest.mark.parametrize(
    ("platform", "constraints", "expected"),
    [
        ("", ["@platforms//os:linux"], True),
        ("", ["@platforms//os:windows"], False),
        ("", [f"@platforms//cpu:{os.uname().machine}"], True),
        ("", ["@platforms//:incompatible"], False),
        ("//p:plain", [":small"], True),
        ("//p:plain", ["@platforms//os:linux"], False),
        ("//p:large", [":big", "@platforms//cpu:armv7"], True),
        ("//p:large", [":small"], False),
        ("//p:child", [":big", "@platforms//cpu:wasm32"], True),
        ("//p:child", ["@platforms//cpu:armv7"], False),
        ("@platforms//host:host", ["@platforms//os:linux"], True),
    ],
)
def test_constraints_are_those_of_the_platform(
    write: Write, platform: str, constraints: list[str], expected: bool
) -> None:
    build = f'{MACHINES}config_setting(name = "c", constraint_values = {constraints})'

    assert holds(write, build, Configuration(platform=platform)) == expected


def test_a_modifier_changes_the_platform(write: Write) -> None:
    modified = Configuration(platform="//p:large", constraints=("//p:small",))

    assert holds(write, MACHINES, modified, "small")
    assert not holds(write, MACHINES, modified, "big")


CELLS = """
alias(name = "c", actual = "{}")
config_setting(name = "yes", values = {{"compilation_mode": "fastbuild"}})
config_setting(name = "no", values = {{"compilation_mode": "opt"}})
config_setting_group(name = "any", match_any = [":no", ":yes"])
config_setting_group(name = "none", match_any = [":no"])
config_setting_group(name = "all", match_all = [":yes", ":any", "//conditions:default"])
config_setting_group(name = "some", match_all = [":yes", ":no"])
config_setting_group(name = "self", match_any = [":self"])
"""


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (":yes", True),
        (":no", False),
        (":any", True),
        (":none", False),
        (":all", True),
        (":some", False),
        (":self", False),
        ("@platforms//os:linux", True),
        ("@bazel_tools//src/conditions:linux", True),
    ],
)
def test_groups_and_aliases_are_conditions_too(write: Write, actual: str, expected: bool) -> None:
    assert holds(write, CELLS.format(actual)) == expected


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ('filegroup(name = "c")', "`//p:c` is a `filegroup`, not a condition"),
        (
            'filegroup(name = "f")\nconfig_setting(name = "c", flag_values = {":f": "a"})',
            "`//p:f` is a `filegroup`, not a flag",
        ),
        (
            'filegroup(name = "f")\nconfig_setting(name = "c", constraint_values = [":f"])',
            "`//p:f` is a `filegroup`, not a `constraint_value`",
        ),
        ('alias(name = "c", actual = ":c")', "`//p:c` leads to no target"),
        ("", "no target or file `//p:c`"),
    ],
)
def test_what_is_no_condition_is_told(write: Write, build: str, message: str) -> None:
    with pytest.raises(SelectFault) as caught:
        holds(write, build)

    assert caught.value.message == message


def test_a_platform_of_the_command_line_must_be_one(write: Write) -> None:
    setting = 'config_setting(name = "c", constraint_values = ["@platforms//os:linux"])'
    build = f'{setting}\nfilegroup(name = "f")'

    with pytest.raises(
        UserError, match="`--platforms` takes a `platform`; `//p:f` is a `filegroup`"
    ):
        holds(write, build, Configuration(platform="//p:f"))
