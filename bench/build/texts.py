"""The files of a generated repository: sources of both languages, BUILD files of both dialects.

A library's value is its constant and what its dependencies and its generated source say; a program
prints its own. So what a build made can be checked by starting the programs.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from bench import workspaces
from bench.build.shape import MODULUS, Rule, Target

_PYTHON_SIZE = 1_500  # bytes of what a module has beside its value
_FUNCTIONS = (1, 4)  # so many more functions a C++ source has


class Dialect(Enum):
    """Whose names the BUILD files use; Bazel's are read by Bazel and lamina alike."""

    BAZEL = "bazel"
    BUCK = "buck"

    @property
    def file(self) -> str:
        return "BUILD" if self is Dialect.BAZEL else "BUCK"


@dataclass(frozen=True, slots=True)
class View:
    """A target as it is now, with the targets that it names."""

    target: Target
    constant: int
    weight: int
    deps: tuple[Target, ...]
    extra: tuple[Target, ...]  # dependencies of the BUILD file that the source makes no use of
    table: Target | None


def sources(view: View) -> dict[str, str]:
    """The sources of a target, by path."""
    target = view.target
    path = f"{target.package}/{target.name}"
    match target.rule:
        case Rule.CXX_LIBRARY:
            return {f"{path}.h": header(view), f"{path}.cc": source(view)}
        case Rule.CXX_BINARY:
            return {f"{path}.cc": source(view)}
        case Rule.PYTHON_LIBRARY | Rule.PYTHON_BINARY:
            return {f"{path}.py": module(view)}
        case _:
            return {f"{path}.txt": f"{view.constant}\n"}


def header(view: View) -> str:
    """The header of a C++ library; an inline function has its weight."""
    target, index = view.target, view.target.index
    exported = [dep for dep in view.deps if dep.index in target.exported]
    return f"""\
#pragma once

#include <string>
#include <vector>
{_includes(exported)}
namespace bench {{

struct Item{index} {{
  std::string name;
  int weight;
}};

inline int weight{index}() {{ return {view.weight}; }}

int value{index}();
std::vector<Item{index}> items{index}(const std::string& prefix, int count);

}}  // namespace bench
"""


def source(view: View) -> str:
    """The source of a C++ library or program; it calls all that it depends on."""
    target, index = view.target, view.target.index
    random_ = random.Random(index)
    own = [target] if target.rule.library else []
    hidden = [dep for dep in view.deps if dep.index not in target.exported]
    table = [view.table] if view.table else []
    terms = [f"value{dep.index}()" for dep in view.deps]
    terms += [f"weight{dep.index}()" for dep in view.deps]
    terms += [f"table{each.index}()" for each in table]
    total = "".join(f"\n      + {term}" for term in terms)
    parts = [
        _includes(own) + f"\n#include {random_.choice(_SYSTEM)}\n" + "#include <cstdio>\n",
        _includes([*hidden, *table]),
        f"""\
namespace bench {{

int own_value{index}() {{
  static const long long total = {view.constant}LL{total};
  return static_cast<int>(total % {MODULUS});
}}
""",
    ]
    if target.rule.library:
        steps = range(2, 2 + random_.randint(*_FUNCTIONS))
        parts += [_CXX_FUNCTION.format(index=index, step=step) for step in steps]
        calls = "".join(f"\n  step{index}_{step}(found);" for step in steps)
        parts.append(_CXX_LIBRARY.format(index=index, calls=calls))
    parts.append("}  // namespace bench\n")
    if target.rule.program:
        parts.append(f'\nint main() {{ std::printf("%d\\n", bench::own_value{index}()); }}\n')
    return "\n".join(parts)


_SYSTEM = ("<algorithm>", "<map>", "<memory>", "<numeric>", "<set>", "<unordered_map>")
_CXX_LIBRARY = """\
int value{index}() {{ return own_value{index}(); }}

std::vector<Item{index}> items{index}(const std::string& prefix, int count) {{
  std::vector<Item{index}> found;
  for (int number = 0; number < count; ++number) {{
    found.push_back(Item{index}{{prefix + std::to_string(number), weight{index}() * number}});
  }}{calls}
  return found;
}}
"""
_CXX_FUNCTION = """\
static void step{index}_{step}(std::vector<Item{index}>& items) {{
  std::vector<std::string> names;
  for (const Item{index}& item : items) {{
    if (item.weight % {step} > 1) names.push_back(item.name + "/{step}");
  }}
  for (std::size_t at = 0; at < names.size(); ++at) items[at].name = names[at];
}}
"""


def _includes(targets: Iterable[Target]) -> str:
    return "".join(f'#include "{each.package}/{each.name}.h"\n' for each in targets)


def module(view: View) -> str:
    """A Python module; it imports all that it depends on. A program prints its value."""
    target = view.target
    used = [*view.deps, *([view.table] if view.table else [])]
    imports = "".join(f"from {_dotted(each.package)} import {each.name}\n" for each in used)
    terms = "".join(f" + {each.name}.VALUE" for each in used)
    text = workspaces.python_text(random.Random(target.index), _PYTHON_SIZE)
    docstring, _, functions = text.partition("\n")
    lines = [docstring, "", imports, f"VALUE = ({view.constant}{terms}) % {MODULUS}", functions]
    if target.rule.program:
        lines.append("\nprint(VALUE)\n")
    return "\n".join(lines)


def _dotted(package: str) -> str:
    return package.replace("/", ".")


def build_file(views: Sequence[View], dialect: Dialect, comments: Sequence[str]) -> str:
    """The BUILD file of a build package."""
    names = _BAZEL if dialect is Dialect.BAZEL else _BUCK
    head = ['package(default_visibility = ["//visibility:public"])\n'] if names is _BAZEL else []
    calls = [_call(view, names, public=names is _BUCK) for view in views]
    return "\n".join([*head, *calls, *(f"# {comment}\n" for comment in comments)])


# What the rules and attributes are called.
_BAZEL = {
    "cxx_library": "cc_library", "cxx_binary": "cc_binary",
    "python_library": "py_library", "python_binary": "py_binary",
    "headers": "hdrs",
}  # fmt: skip
_BUCK = {"headers": "exported_headers", "exported": "exported_deps"}


def _call(view: View, names: Mapping[str, str], *, public: bool) -> str:
    rule = view.target.rule.value
    lines = [f'    name = "{view.target.name}",']
    if view.target.rule.genrule:
        rule = "genrule"
        lines += _genrule(view, names)
    else:
        lines += _attributes(view, names)
    if public:
        lines.append('    visibility = ["PUBLIC"],')
    return "\n".join([f"{names.get(rule, rule)}(", *lines, ")\n"])


def _attributes(view: View, names: Mapping[str, str]) -> Iterator[str]:
    target = view.target
    made = [f":{view.table.name}"] if view.table else []
    exported: list[Target] = []
    if not target.rule.cxx:
        yield _list("srcs", [f"{target.name}.py", *made])
    else:
        yield _list("srcs", [f"{target.name}.cc"])
        if target.rule.library:
            yield _list(names["headers"], [f"{target.name}.h", *made])
        if "exported" in names:
            exported = [dep for dep in view.deps if dep.index in target.exported]
            if exported:
                yield _list(names["exported"], _labels(exported, target.package))
    others = [dep for dep in (*view.deps, *view.extra) if dep not in exported]
    if others:
        yield _list("deps", _labels(others, target.package))


def _labels(targets: Iterable[Target], package: str) -> list[str]:
    return [f":{each.name}" if each.package == package else each.label for each in targets]


def _genrule(view: View, names: Mapping[str, str]) -> Iterator[str]:
    name = view.target.name
    yield _list("srcs", [f"{name}.txt"])
    bazel = names is _BAZEL
    made = f"{name}.h" if view.target.rule.cxx else f"{name}.py"
    yield _list("outs", [made]) if bazel else f'    out = "{made}",'
    read = "$$(cat $<)" if bazel else "$(cat $SRCS)"
    target = "$@" if bazel else "$OUT"
    text = f"VALUE = {read}"
    if view.target.rule.cxx:
        text = f"inline int {name}() {{ return {read}; }}"
    yield f"""    cmd = "echo \\"{text}\\" > {target}","""


def _list(name: str, items: Sequence[str]) -> str:
    if len(items) == 1:
        return f'    {name} = ["{items[0]}"],'
    return "\n".join([f"    {name} = [", *(f'        "{item}",' for item in items), "    ],"])
