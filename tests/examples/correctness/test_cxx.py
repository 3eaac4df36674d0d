"""C++: exactly what an edit concerns is compiled again, and nothing is overlooked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.examples.correctness.conftest import Workspace

FILES = {
    "a/BUILD": "cxx_library(name = 'a', srcs = ['a.cc'], hdrs = ['a.h', 'extra.h'])\n",
    "a/a.h": "#define A 1\nint a();\n",
    "a/extra.h": "#define EXTRA 1\n",
    "a/a.cc": '#include "a/a.h"\nint a() { return A; }\n',
    "b/BUILD": "genrule(name = 'version', srcs = ['number'], outs = ['version.h'],\n"
    "    cmd = 'echo \"#define VERSION `cut -d. -f1 $<`\" > $@')\n"
    "genrule(name = 'words', srcs = ['number'], outs = ['words.cc'],\n"
    '    cmd = \'echo "const char* words() { return \\\\"`cat $<`\\\\"; }" > $@\')\n'
    "cxx_library(name = 'b', srcs = ['b.cc', 'plain.cc', 'words.cc'], hdrs = ['version.h'],\n"
    "    deps = ['//a'])\n"
    "cxx_binary(name = 'program', srcs = ['main.cc'], deps = [':b'])\n",
    "b/number": "1.0\n",
    "b/b.cc": '#include "a/a.h"\n#include "b/version.h"\nint b() { return a() + VERSION; }\n',
    "b/plain.cc": '#include "a/extra.h"\nint plain() { return 0; }\n',
    "b/main.cc": "int b();\nconst char* words();\nint main() { return b() + words()[0]; }\n",
}


@pytest.fixture
def built(workspace: Workspace) -> Workspace:
    workspace.write(FILES)
    compiled = workspace.compiled()
    assert compiled == {"a/a.cc", "b/b.cc", "b/plain.cc", "b/words.cc", "b/main.cc"}
    return workspace


def test_an_edited_header_compiles_what_includes_it(built: Workspace) -> None:
    built.write({"a/a.h": "#define A 2\nint a();\n"})
    assert built.compiled() == {"a/a.cc", "b/b.cc"}

    built.write({"a/extra.h": "#define EXTRA 2\n"})
    assert built.compiled() == {"b/plain.cc"}


def test_an_edit_that_is_undone_compiles_nothing(built: Workspace) -> None:
    built.write({"a/a.h": "#define A 2\nint a();\n"})
    built.compiled()

    built.write({"a/a.h": FILES["a/a.h"]})

    assert built.compiled() == set()


def test_a_comment_stops_at_the_object(built: Workspace) -> None:
    built.write({"a/a.h": f"{FILES['a/a.h']}// a comment\n"})

    assert built.compiled() == {"a/a.cc", "b/b.cc"}
    assert built.json("log", "show")["ran"] == 2  # nothing is archived or linked


def test_a_generated_header_that_stays_the_same_stops_the_wave(built: Workspace) -> None:
    built.write({"b/number": "1.1\n"})

    assert built.compiled() == {"b/words.cc"}


def test_a_generated_header_and_source_that_change_are_compiled(built: Workspace) -> None:
    built.write({"b/number": "2.0\n"})

    assert built.compiled() == {"b/b.cc", "b/words.cc"}


def test_an_include_that_comes_is_known_from_then_on(built: Workspace) -> None:
    built.write({"b/plain.cc": '#include "a/a.h"\nint plain() { return A; }\n'})
    assert built.compiled() == {"b/plain.cc"}

    built.write({"a/extra.h": "#define EXTRA 3\n"})
    assert built.compiled() == set()

    built.write({"a/a.h": "#define A 5\nint a();\n"})
    assert built.compiled() == {"a/a.cc", "b/b.cc", "b/plain.cc"}


def test_a_header_that_includes_another_one_passes_it_on(built: Workspace) -> None:
    built.write({"a/extra.h": '#include "a/a.h"\n#define EXTRA A\n'})
    built.compiled()
    built.write({"a/a.h": "#define A 7\nint a();\n"})

    assert built.compiled() == {"a/a.cc", "b/b.cc", "b/plain.cc"}


SHADOWS = {
    "p/BUILD": "cxx_library(name = 'l', srcs = ['l.cc'], hdrs = glob(['*/*.h']),\n"
    "    includes = ['first', 'second'])\n",
    "p/second/v.h": "#define V 2\n",
    "p/l.cc": "#include <v.h>\nint v = V;\n",
}


def test_a_header_that_comes_to_lie_before_another_is_noticed(workspace: Workspace) -> None:
    workspace.write(SHADOWS)
    assert workspace.compiled() == {"p/l.cc"}

    workspace.write({"p/first/v.h": "#define V 1\n"})
    assert workspace.compiled() == {"p/l.cc"}

    (workspace.root / "p/first/v.h").unlink()
    assert workspace.compiled() == set()


def test_a_header_that_is_asked_for_is_noticed_when_it_comes_and_goes(workspace: Workspace) -> None:
    workspace.write(SHADOWS)
    asking = "#if __has_include(<first.h>)\nint x = 1;\n#else\nint x = 2;\n#endif\n"
    workspace.write({"p/l.cc": asking})
    workspace.compiled()

    for _ in range(2):
        workspace.write({"p/first/first.h": ""})
        workspace.compiled()
        (workspace.root / "p/first/first.h").unlink()
        workspace.compiled()


GENERATED = {
    "p/BUILD": "genrule(name = 'headers', srcs = ['list'], outs = ['made'], cmd = '''\n"
    "    mkdir $@; for name in `cat $<`; do echo \"#define V 1\" > $@/$$name; done''')\n"
    "cxx_library(name = 'l', srcs = ['l.cc'], hdrs = [':headers', 'second/v.h'],\n"
    "    includes = ['made', 'second'])\n",
    "p/second/v.h": "#define V 2\n",
    "p/list": "other.h",
    "p/l.cc": "#include <v.h>\n#include <other.h>\nint v = V;\n",
}


def test_a_header_of_a_generated_folder_may_come_to_lie_before_another(
    workspace: Workspace,
) -> None:
    workspace.write(GENERATED)
    workspace.compiled()

    for names in ("more.h other.h", "v.h other.h", "other.h", "v.h other.h more.h"):
        workspace.write({"p/list": names})
        workspace.compiled()


LINKED = {
    "file": "cp $< $@/real.h; ln -s real.h $@/l.h",
    "folder": "mkdir $@/d; cp $< $@/d/l.h; ln -s d $@/e; ln -s e/l.h $@/l.h",
    "absolute": "mkdir $@/d; cp $< $@/d/l.h; ln -s /work/p/made/d/l.h $@/l.h",
}


@pytest.mark.parametrize("cmd", LINKED.values(), ids=LINKED.keys())
def test_what_links_among_headers_lead_to_counts(workspace: Workspace, cmd: str) -> None:
    build = GENERATED["p/BUILD"].replace('for name in `cat $<`; do echo "#define V 1" > ', f"{cmd}")
    build = build.replace("$@/$$name; done", "")
    workspace.write(GENERATED)
    workspace.write({"p/BUILD": build, "p/l.cc": "#include <l.h>\nint v = V;\n"})
    for number in range(3):
        workspace.write({"p/list": f"#define V {number}\n"})

        assert workspace.compiled() == {"p/l.cc"}


HIDDEN = {
    "data": ("p/l.cc", 'asm(".incbin \\"p/{}\\"");\n', "text"),
    "assembler": ("p/l.S", '.include "p/{}"\n', ".byte 1\n"),
    "plain assembler": ("p/l.s", '.include "p/{}"\n', ".byte 1\n"),
}


@pytest.mark.parametrize(("source", "text", "data"), HIDDEN.values(), ids=HIDDEN.keys())
@pytest.mark.parametrize("attribute", ["hdrs", "additional_compiler_inputs"])
def test_what_no_depfile_tells_of_counts_too(
    workspace: Workspace, source: str, text: str, data: str, attribute: str
) -> None:
    file = "data.bin" if attribute == "hdrs" and source == "p/l.cc" else "data.h"
    rule = f"cxx_library(name = 'l', srcs = ['{source[2:]}'], {attribute} = ['{file}'])\n"
    workspace.write({"p/BUILD": rule, source: text.format(file), f"p/{file}": data})
    workspace.compiled()

    workspace.write({f"p/{file}": data.replace("e", "E").replace("1", "2")})

    assert workspace.compiled() == {source}


NAMES = [
    "a b.h", "c#d.h", "e$f.h", "ü.h", "q'r.h", "(x).h", "%p.h", "~t.h", "a,b.h", "$$.h", "#.h",
]  # fmt: skip


def test_headers_with_odd_names_are_noticed(workspace: Workspace) -> None:
    rule = "cxx_library(name = 'l', srcs = ['l.cc'], hdrs = glob(['*.h']))\n"
    source = "".join(f'#include "p/{name}"\n' for name in NAMES)
    total = " + ".join(f"N{number}" for number in range(len(NAMES)))
    workspace.write({"p/BUILD": rule, "p/l.cc": f"{source}int x = {total};\n"})
    for number, name in enumerate(NAMES):
        workspace.write({f"p/{name}": f"#define N{number} {number}\n"})
    workspace.build()

    for number, name in enumerate(NAMES):
        workspace.write({f"p/{name}": f"#define N{number} {100 + number}\n"})
        assert workspace.build() > 0, name
    workspace.check()


def test_a_header_that_is_not_declared_is_an_error_that_says_so(built: Workspace) -> None:
    built.write({"a/hidden.h": "#define HIDDEN 1\n", "b/own.h": "#define OWN 1\n"})
    built.write({"b/plain.cc": '#include "a/hidden.h"\nint plain() { return HIDDEN; }\n'})
    done = built("build", "//...")
    assert done.code == 1
    assert "it reads `a/hidden.h`, which `//b:b` does not declare" in done.err
    assert "hint: declare `a/hidden.h` in `//b:b`, or depend on a target that has it" in done.err

    built.write({"b/plain.cc": '#include "own.h"\nint plain() { return OWN; }\n'})
    done = built("build", "//...")
    assert done.code == 1
    assert "it reads `b/own.h`, which `//b:b` does not declare" in done.err

    built.write({"b/BUILD": FILES["b/BUILD"].replace("hdrs = [", "hdrs = ['own.h', ")})
    assert "b/plain.cc" in built.compiled()


def test_a_header_taken_out_of_its_library_is_missed(built: Workspace) -> None:
    build = FILES["a/BUILD"]
    built.write({"a/BUILD": build.replace(", 'extra.h'", "")})
    done = built("build", "//...")
    assert done.code == 1
    assert "it reads `a/extra.h`, which `//b:b` does not declare" in done.err

    built.write({"a/BUILD": build})
    assert built.compiled() == set()
