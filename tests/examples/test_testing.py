"""`lamina test` on projects with tests that pass, fail, flake, hang and are split over shards."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

Lamina = Callable[..., subprocess.CompletedProcess[str]]

PASSING = """
import unittest
class T(unittest.TestCase):
    def test_one(self): pass
    def test_two(self): print("two ran")
    def test_three(self): pass
"""
FAILING = """
import unittest
class T(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.assertEqual("left", "right")
    @unittest.skip("not now")
    def test_skipped(self): pass
if __name__ == "__main__":
    unittest.main()
"""
GOOGLE = """
#include <cstdio>
#include <gtest/gtest.h>
TEST(Sum, One) { EXPECT_EQ(1, 1); }
TEST(Sum, Two) { EXPECT_EQ(2, 2); }
TEST(Sum, Three) { std::puts("three ran"); }
"""
LIBGTEST = 'linkopts = ["-lgtest_main", "-lgtest", "-lpthread"]'


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Write a workspace; returns its root."""

    def write_files(files: Mapping[str, str]) -> Path:
        root = tmp_path / "workspace"
        for name, text in {"lamina.toml": "", **files}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return root

    return write_files


Write = Callable[[Mapping[str, str]], Path]


def by_label(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    document = json.loads(done.stdout)
    assert "error" not in document, document
    return {test["label"]: test for test in document["tests"]}


def statuses(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {label: test["status"] for label, test in by_label(done).items()}


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stdout.splitlines() if line.startswith("//")]


def cases(path: Path) -> dict[str, str]:
    """The test cases of a JUnit report, and how each went."""
    root = ElementTree.parse(path).getroot()
    return {
        case.attrib["name"]: next((child.tag for child in case), "passed")
        for case in root.iter("testcase")
    }


def python(root: Path, more: str = "") -> None:
    (root / "BUILD").write_text(f"python_test(name = 'a_test', srcs = ['t.py'], {more})\n")


# What is told.


def test_each_test_has_a_line_and_failures_have_their_log(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "a/BUILD": "python_test(name = 'good_test', srcs = ['good.py'])\n"
            "py_test(name = 'bad_test', srcs = ['bad_test.py'])\n",
            "a/good.py": PASSING,
            "a/bad_test.py": FAILING,
        }
    )

    done = lamina(root, "test", "//...")

    assert done.returncode == 1
    first, second = lines(done)
    assert first.startswith("//a:bad_test   FAILED in ")
    assert first.endswith("exit code 1")
    assert second.startswith("//a:good_test  PASSED in ")
    assert "    lamina-out/testlogs/a/bad_test/test.log" in done.stdout
    assert "AssertionError: 'left' != 'right'" in done.stderr
    assert "Executed 2 of 2 tests: 1 passes, 1 fails; " in done.stderr
    assert "'left' != 'right'" in (root / "lamina-out/testlogs/a/bad_test/test.log").read_text()


def test_a_pass_is_remembered_and_a_failure_is_not(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "BUILD": "python_test(name = 'good_test', srcs = ['good.py'])\n"
            "sh_test(name = 'bad_test', srcs = ['bad.sh'])\n",
            "good.py": PASSING,
            "bad.sh": "exit 3\n",
        }
    )
    lamina(root, "test", "//...")

    again = lamina(root, "test", "//...")

    first, second = lines(again)
    assert first.startswith("//:bad_test   FAILED in ")
    assert second.startswith("//:good_test  (cached) PASSED in ")
    assert "Executed 1 of 2 tests" in again.stderr


def test_nothing_changed_is_told_without_loading_anything(lamina: Lamina, write: Write) -> None:
    root = write({"t.py": PASSING})
    python(root)
    first = lamina(root, "test", "//...")

    again = lamina(root, "test", "//...")
    (root / "t.py").write_text(PASSING.replace("pass", "assert True"))
    changed = lamina(root, "test", "//...")

    assert first.returncode == again.returncode == changed.returncode == 0, first.stderr
    assert ["cached" in each.stdout for each in (first, again, changed)] == [False, True, False]
    assert again.stderr.startswith("Executed 0 of 1 test: 1 passes")


def test_results_can_be_asked_for_anew(lamina: Lamina, write: Write) -> None:
    root = write({"t.py": PASSING})
    python(root)
    lamina(root, "test", "//...")

    again = lamina(root, "test", "//...", "--nocache_test_results")

    assert "Executed 1 of 1 test" in again.stderr


def test_what_tests_print_is_shown_as_asked(lamina: Lamina, write: Write) -> None:
    root = write({"t.py": PASSING})
    python(root)

    shown = {
        mode: "two ran" in lamina(root, "test", "//...", f"--test_output={mode}").stderr
        for mode in ("errors", "summary", "all", "streamed")
    }

    assert shown == {"errors": False, "summary": False, "all": True, "streamed": False}
    streamed = lamina(root, "test", "//...", "--test_output=streamed", "--nocache_test_results")
    assert "two ran" in streamed.stderr


# Which tests.


SUITES = """
TAGS = {"fast": [], "slow": ["slow"], "hidden": ["manual"]}
[sh_test(name = n + "_test", srcs = ["t.sh"], tags = t, size = "small") for n, t in TAGS.items()]
python_test(name = "py_test", srcs = ["t.py"], size = "large")
test_suite(name = "some", tests = [":fast_test", ":inner"], tags = ["manual"])
test_suite(name = "inner", tests = [":hidden_test"], tags = ["manual"])
test_suite(name = "every", tests = [], tags = ["manual"])
test_suite(name = "only_slow", tags = ["slow", "manual"])
genrule(name = "made", outs = ["made.txt"], cmd = "echo x > $@")
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["//..."], ["fast", "py", "slow"]),
        (["//:some"], ["fast", "hidden"]),
        (["//:every"], ["fast", "py", "slow"]),
        (["//:only_slow"], ["slow"]),
        (["//...", "--test_tag_filters=-slow"], ["fast", "py"]),
        (["//...", "--include", "slow"], ["slow"]),
        (["//...", "--exclude", "slow"], ["fast", "py"]),
        (["//...", "--test_size_filters", "-small"], ["py"]),
        (["//...", "--test_lang_filters=sh"], ["fast", "slow"]),
        (["--", "//...", "-//:py_test"], ["fast", "slow"]),
    ],
)
def test_patterns_suites_and_filters_choose(
    lamina: Lamina, write: Write, words: list[str], expected: list[str]
) -> None:
    root = write({"BUILD": SUITES, "t.sh": "true\n", "t.py": PASSING})

    done = lamina(root, "test", "--json", *words)

    assert sorted(statuses(done)) == [f"//:{name}_test" for name in expected], done.stderr


def test_a_suite_of_a_faulty_test_runs_the_others_where_faults_do_not_end_it(
    lamina: Lamina, write: Write
) -> None:
    build = """
sh_test(name = "good_test", srcs = ["t.sh"])
test_suite(name = "suite", tests = [":good_test", "//faulty:x_test", ":absent_test"])
"""
    root = write({"BUILD": build, "t.sh": "true\n", "faulty/BUILD": "fail('no such test')\n"})

    done = lamina(root, "test", "--json", "-k", "//:suite")

    assert statuses(done) == {"//:good_test": "PASSED"}
    assert "faulty/BUILD:1:1: no such test" in done.stderr
    assert "no target or file `//:absent_test`" in done.stderr
    assert done.returncode != 0


def test_no_test_at_all_is_an_error(lamina: Lamina, write: Write) -> None:
    root = write({"BUILD": "filegroup(name = 'x')\n"})

    done = lamina(root, "test", "//...")

    assert done.returncode == 3
    assert "error: no test is among the targets of `//...`" in done.stderr


def test_what_is_no_test_is_built_too_unless_told(lamina: Lamina, write: Write) -> None:
    root = write({"BUILD": SUITES, "t.sh": "true\n", "t.py": PASSING})

    alone = lamina(root, "test", "//...", "--build_tests_only")
    all_of_it = lamina(root, "test", "//...")

    assert "Genrule made.txt" not in alone.stderr
    assert "Genrule made.txt" in all_of_it.stderr


@pytest.mark.parametrize(("chosen", "ran"), [("T.test_two", True), ("test_one", False)])
def test_test_cases_can_be_chosen(lamina: Lamina, write: Write, chosen: str, ran: bool) -> None:
    root = write({"t.py": PASSING, "main_test.py": PASSING + "unittest.main()\n"})
    python(root)
    with (root / "BUILD").open("a") as file:
        file.write("py_test(name = 'main_test', srcs = ['main_test.py'])\n")

    done = lamina(root, "test", "//...", f"--test_filter={chosen}", "--test-output=all")

    assert done.returncode == 0
    assert done.stderr.count("two ran") == 2 * ran
    assert done.stderr.count("Ran 1 test in") == 2


# How tests end.


def test_a_test_that_hangs_is_ended_and_its_log_is_kept(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "BUILD": "sh_test(name = 'slow_test', srcs = ['s.sh'], test_rule_timeout_ms = 1000)\n"
            "sh_test(name = 'long_test', srcs = ['s.sh'], timeout = 'eternal')\n",
            "s.sh": "echo begun; trap '' TERM; (sleep 100; echo never) & sleep 100\n",
        }
    )

    done = lamina(root, "test", "--json", "//...", "--test_timeout=-1,-1,-1,2")

    assert set(statuses(done).values()) == {"TIMEOUT"}, done.stderr
    assert (root / "lamina-out/testlogs/slow_test/test.log").read_text() == "begun\n"


def test_a_signal_is_told(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "BUILD": "cc_test(name = 'crash_test', srcs = ['c.c'])\n",
            "c.c": "int main(void) { *(volatile int *)0 = 1; }\n",
        }
    )

    done = lamina(root, "test", "//...")

    assert done.stdout.splitlines()[0].endswith("killed by SIGSEGV")


def test_what_cannot_be_built_does_not_stop_the_others(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "BUILD": "cc_test(name = 'broken_test', srcs = ['c.c'])\n"
            "cc_test(name = 'alone_test', srcs = ['c.c'], tags = ['exclusive'])\n"
            "sh_test(name = 'good_test', srcs = ['t.sh'])\n",
            "c.c": "int main(void) { return oops; }\n",
            "t.sh": "true\n",
        }
    )

    done = lamina(root, "test", "//...")

    assert done.returncode == 1
    words = {line.split()[0]: " ".join(line.split()[1:3]) for line in lines(done)}
    assert words == {
        "//:alone_test": "NOT BUILT",
        "//:broken_test": "NOT BUILT",
        "//:good_test": "PASSED in",
    }
    assert "oops" in done.stderr


class Counter:
    """A server that answers with how often it was asked, and knows how many asked at once."""

    def __init__(self) -> None:
        self.asked = self.most = self._now = 0
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client:
            with self._lock:
                self.asked += 1
                self._now += 1
                self.most = max(self.most, self._now)
                client.sendall(b"%d\n" % self.asked)
            client.recv(1)  # until the client has gone
            with self._lock:
                self._now -= 1

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def counter() -> Iterator[Counter]:
    server = Counter()
    yield server
    server.close()


def asking(counter: Counter, more: str) -> str:
    """A script that asks a server, and looks at the answer in `$answer`."""
    return f"exec 3<>/dev/tcp/127.0.0.1/{counter.port} || exit 9\nread answer <&3\n{more}\n"


@pytest.mark.parametrize(
    ("attributes", "words", "expected"),
    [
        ("", [], "FAILED"),
        ("flaky = True,", [], "FLAKY"),
        ("", ["--flaky_test_attempts=3"], "FLAKY"),
        ("", ["--flaky_test_attempts=2"], "FAILED"),
    ],
)
def test_a_flaky_test_has_more_attempts(
    lamina: Lamina,
    write: Write,
    counter: Counter,
    attributes: str,
    words: list[str],
    expected: str,
) -> None:
    root = write(
        {
            "BUILD": f"sh_test(name = 'x_test', srcs = ['t.sh'], {attributes}"
            " tags = ['requires-network'])\n",
            "t.sh": asking(counter, '[ "$answer" -ge 3 ]'),
        }
    )

    done = lamina(root, "test", "//...", "--json", *words)

    assert statuses(done) == {"//:x_test": expected}
    assert done.returncode == (0 if expected == "FLAKY" else 1)
    attempts = by_label(done)["//:x_test"]["runs"][0]
    assert len(attempts) == counter.asked
    assert all((root / attempt["log"]).exists() for attempt in attempts)


def test_the_network_is_there_for_who_asks_for_it(
    lamina: Lamina, write: Write, counter: Counter
) -> None:
    root = write(
        {
            "BUILD": "sh_test(name = 'in_test', srcs = ['t.sh'])\n"
            "sh_test(name = 'out_test', srcs = ['t.sh'], tags = ['requires-network'])\n",
            "t.sh": asking(counter, "true"),
        }
    )

    done = lamina(root, "test", "//...", "--json")

    assert statuses(done) == {"//:in_test": "FAILED", "//:out_test": "PASSED"}


@pytest.mark.parametrize(("tags", "most"), [("'requires-network', 'exclusive'", 1), ("'local'", 3)])
def test_an_exclusive_test_runs_alone(
    lamina: Lamina, write: Write, counter: Counter, tags: str, most: int
) -> None:
    names = "['a_test', 'b_test', 'c_test']"
    root = write(
        {
            "BUILD": f"[sh_test(name = n, srcs = ['t.sh'], tags = [{tags}]) for n in {names}]\n",
            "t.sh": asking(counter, "sleep 1"),
        }
    )

    done = lamina(root, "test", "//...", "-j", "3")

    assert done.returncode == 0, done.stderr
    assert counter.most == most


# Shards and repetitions.


def shards(root: Path, name: str, count: int) -> list[dict[str, str]]:
    logs = root / "lamina-out/testlogs" / name
    return [cases(logs / f"shard_{n}_of_{count}/test.xml") for n in range(1, count + 1)]


def test_test_cases_are_split_over_shards(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "BUILD": "python_test(name = 'u_test', srcs = ['t.py'], shard_count = 2)\n"
            f"cc_test(name = 'g_test', srcs = ['g.cc'], shard_count = 2, {LIBGTEST})\n",
            "t.py": PASSING,
            "g.cc": GOOGLE,
        }
    )

    done = lamina(root, "test", "//...")

    assert done.returncode == 0, done.stderr
    for name, expected in (
        ("u_test", ["test_one", "test_three", "test_two"]),
        ("g_test", ["One", "Three", "Two"]),
    ):
        first, second = shards(root, name, 2)
        assert (len(first), len(second)) == (2, 1)
        assert sorted([*first, *second]) == expected


def test_a_test_that_does_not_split_its_cases_is_told(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "BUILD": "sh_test(name = 's_test', srcs = ['t.sh'], shard_count = 2)\n"
            "sh_test(name = 'knows_test', srcs = ['k.sh'], shard_count = 2)\n",
            "t.sh": "true\n",
            "k.sh": 'touch "$TEST_SHARD_STATUS_FILE"\n'
            '[ "$TEST_TOTAL_SHARDS" = 2 ] && [ "$TEST_SHARD_INDEX" -lt 2 ]\n',
        }
    )

    done = lamina(root, "test", "//...")

    knows, unsplit = lines(done)
    assert "PASSED" in knows
    assert "FAILED in 2 of 2 runs" in unsplit
    assert unsplit.endswith("it does not split its test cases, as `shard_count` asks for")


def test_tests_can_be_repeated(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "BUILD": "sh_test(name = 'x_test', srcs = ['t.sh'])\n",
            "t.sh": '[ "$TEST_RUN_NUMBER" != 2 ]\n',
        }
    )

    done = lamina(root, "test", "//...", "--runs_per_test=3")

    assert "FAILED in 1 of 3 runs" in done.stdout
    assert "lamina-out/testlogs/x_test/run_2_of_3/test.log" in done.stdout


# What a test sees.


def test_data_lies_at_its_path_and_programs_at_their_labels(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "MODULE.bazel": 'module(name = "my_ws")\n',
            "p/BUILD": "sh_test(name = 'x_test', srcs = ['t.sh'],"
            " args = ['$(location d.txt)', 'b c', '$(location :tool)'],"
            " env = {'GIVEN': 'by the rule', 'D': 'x $(location d.txt)'},"
            " data = ['d.txt', ':tool'])\n"
            "py_binary(name = 'tool', srcs = ['tool.py'])\n",
            "p/d.txt": "data",
            "p/tool.py": "print('tool ran')\n",
            "p/t.sh": """set -eux
            [ "$(cat p/d.txt)" = data ]
            [ "$(cat "$1")" = data ] && [ "$(cat "$PWD/$1")" = data ] && [ "$D" = "x p/d.txt" ]
            [ "$2 $3" = "b c" ]
            [ "$($4)" = "tool ran" ] && [ "$("$TEST_SRCDIR/$TEST_WORKSPACE/$4")" = "tool ran" ]
            [ "$GIVEN" = "by the rule" ]
            [ "$(p/tool)" = "tool ran" ]
            [ "$PWD" = "$TEST_SRCDIR/$TEST_WORKSPACE" ]
            [ "$(cat "$TEST_SRCDIR/my_ws/p/d.txt")" = data ]
            [ -x "$TEST_BINARY" ] && [ "$TEST_TARGET" = //p:x_test ] && [ "$BAZEL_TEST" = 1 ]
            echo kept > "$TEST_UNDECLARED_OUTPUTS_DIR/note.txt"
            touch "$TEST_TMPDIR/x" "$HOME/y"
            """,
        }
    )

    done = lamina(root, "test", "//...")

    assert done.returncode == 0, done.stderr
    note = root / "lamina-out/testlogs/p/x_test/outputs/note.txt"
    assert note.read_text() == "kept\n"


def test_a_test_may_put_files_beside_its_own_but_not_change_these(
    lamina: Lamina, write: Write
) -> None:
    root = write(
        {
            "p/BUILD": "sh_test(name = 'x_test', srcs = ['t.sh'], data = ['d/data.txt'])\n",
            "p/d/data.txt": "data",
            "p/t.sh": """set -eux
            echo new > here.txt
            echo new > p/d/new.txt
            ! { chmod u+w p/d/data.txt && echo changed > p/d/data.txt; }
            rm p/d/data.txt
            """,
        }
    )

    done = lamina(root, "test", "//...", "--runs-per-test", "2")

    assert done.returncode == 0, done.stderr
    assert (root / "p/d/data.txt").read_text() == "data"


def test_variables_and_arguments_come_from_the_command_line(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "BUILD": "sh_test(name = 'x_test', srcs = ['t.sh'], env_inherit = ['INHERITED'])\n",
            "t.sh": 'echo "got $1 $GIVEN $TAKEN ${INHERITED-nothing} ${OTHER-nothing}"\n',
        }
    )
    words = ["--test_arg=-x", "--test_env=GIVEN=a", "--test_env", "TAKEN", "--test_output=all"]
    outer = {"TAKEN": "b", "INHERITED": "c", "OTHER": "d"}

    done = lamina(root, "test", "//...", *words, environment=outer)
    same = lamina(root, "test", "//...", *words, environment=outer)
    other = lamina(root, "test", "//...", *words, environment={**outer, "INHERITED": "e"})

    assert "got -x a b c nothing" in done.stderr
    assert "(cached)" in same.stdout
    assert "got -x a b e nothing" in other.stderr


def test_a_test_is_run_under_a_command(lamina: Lamina, write: Write) -> None:
    root = write({"t.py": PASSING})
    python(root)

    done = lamina(root, "test", "//...", "--run_under=env --unset=X", "--test_output=all")

    assert done.returncode == 0, done.stderr


RUNFILES_PY = """
from bazel_tools.tools.python.runfiles import runfiles
from python.runfiles import Runfiles
for each in (runfiles, Runfiles):
    for name in ("_main", "my_ws"):
        assert open(each.Create().Rlocation(name + "/p/d.txt")).read() == "data"
"""
RUNFILES_CC = """
#include <fstream>
#include <memory>
#include "tools/cpp/runfiles/runfiles.h"
using bazel::tools::cpp::runfiles::Runfiles;
int main(int argc, char** argv) {
  std::string error, word;
  std::unique_ptr<Runfiles> files(Runfiles::%s);
  if (!files) return 2;
  std::ifstream(files->Rlocation("my_ws/p/d.txt")) >> word;
  return word == "data" ? 0 : 1;
}
"""
RUNFILES_SH = """
set -euo pipefail
source "$RUNFILES_DIR/bazel_tools/tools/bash/runfiles/runfiles.bash"
[ "$(cat "$(rlocation my_ws/p/d.txt)")" = data ]
[ "$(cat "$(rlocation "$1")")" = data ]
"""


def test_libraries_that_find_runfiles_work(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "MODULE.bazel": 'module(name = "my_ws")\n',
            "p/BUILD": """
DATA = ["d.txt"]
PYTHON = ["@bazel_tools//tools/python/runfiles", "@rules_python//python/runfiles"]
py_test(name = "py_test", srcs = ["py_test.py"], data = DATA, deps = PYTHON)
py_binary(name = "py", srcs = ["py_test.py"], data = DATA, deps = PYTHON)
CXX = ["@bazel_tools//tools/cpp/runfiles"]
cc_test(name = "cc_test", srcs = ["test.cc"], data = DATA, deps = CXX)
cc_binary(name = "cc", srcs = ["program.cc"], data = DATA, deps = CXX)
sh_test(name = "sh_test", srcs = ["t.sh"], data = DATA, args = ["$(rlocationpath d.txt)"],
        deps = ["@bazel_tools//tools/bash/runfiles"])
""",
            "p/d.txt": "data",
            "p/py_test.py": RUNFILES_PY,
            "p/test.cc": RUNFILES_CC % "CreateForTest(BAZEL_CURRENT_REPOSITORY, &error)",
            "p/program.cc": RUNFILES_CC % "Create(argv[0], &error)",
            "p/t.sh": RUNFILES_SH,
        }
    )

    done = lamina(root, "test", "//...")
    built = lamina(root, "build", "//p:py", "//p:cc")

    assert done.returncode == 0, done.stderr
    for line in built.stdout.splitlines():
        subprocess.run([root / line.split()[1]], check=True)


# Frameworks.


# What lies beside an installation, is compiled, or is for languages that pytest does not show.
_UNNEEDED = re.compile(r"^\.\.|\.pyc$|pygments/lexers/(?!__init__|_mapping|python|diff)")
DISTRIBUTIONS = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")


def wheel(name: str, folder: Path) -> Path:
    """The wheel of a distribution that is installed here."""
    found = distribution(name)
    path = folder / f"{name}-{found.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in found.files or ():
            if not _UNNEEDED.search(file.as_posix()):
                archive.write(file.locate(), file.as_posix())
    return path


@pytest.fixture
def with_pytest(write: Write) -> Path:
    """A workspace with pytest as a target."""
    root = write(
        {
            "third_party/BUILD": "",
            "p/BUILD": "python_test(name = 'x_test', srcs = ['test_it.py', 'conftest.py'],"
            " deps = ['//third_party:pytest', ':lib'], shard_count = 1)\n"
            "python_library(name = 'lib', srcs = ['lib.py'])\n",
            "p/conftest.py": "import pytest\n@pytest.fixture\ndef five(): return 5\n",
            "p/lib.py": "def twice(x): return 2 * x\n",
            "p/test_it.py": """
import pytest
from p.lib import twice
from .lib import twice as same
def test_twice(five): assert twice(five) == 10 and same is twice
@pytest.mark.parametrize("n", [1, 2])
def test_many(n): print("ran", n)
class TestMore:
    def test_bad(self): assert [1, 2] == [1, 3]
""",
        }
    )
    rules = [
        f"prebuilt_python_library(name = '{name}', visibility = ['PUBLIC'],"
        f" binary_src = '{wheel(name, root / 'third_party').name}', deps = {deps})\n"
        for name in DISTRIBUTIONS
        for deps in [[f":{other}" for other in DISTRIBUTIONS[1:] if name == "pytest"]]
    ]
    (root / "third_party/BUILD").write_text("".join(rules))
    return root


def test_pytest_is_used_where_deps_bring_it(lamina: Lamina, with_pytest: Path) -> None:
    done = lamina(with_pytest, "test", "//p:all")

    assert done.returncode == 1
    assert "assert [1, 2] == [1, 3]" in done.stderr, done.stderr
    assert cases(with_pytest / "lamina-out/testlogs/p/x_test/test.xml") == {
        "test_twice": "passed",
        "test_many[1]": "passed",
        "test_many[2]": "passed",
        "test_bad": "failure",
    }


def test_pytest_takes_filters_and_shards(lamina: Lamina, with_pytest: Path) -> None:
    build = with_pytest / "p/BUILD"
    build.write_text(build.read_text().replace("shard_count = 1", "shard_count = 2"))

    chosen = lamina(with_pytest, "test", "//p:all", "--test_filter=test_many")
    done = lamina(with_pytest, "test", "//p:all")

    assert chosen.returncode == 0, chosen.stderr
    assert done.returncode == 1
    first, second = shards(with_pytest, "p/x_test", 2)
    assert sorted([*first, *second]) == ["test_bad", "test_many[1]", "test_many[2]", "test_twice"]


def test_a_report_has_the_cases_of_all_frameworks(
    lamina: Lamina, write: Write, tmp_path: Path
) -> None:
    root = write(
        {
            "BUILD": "py_test(name = 'u_test', srcs = ['u_test.py'])\n"
            f"cc_test(name = 'g_test', srcs = ['g.cc'], {LIBGTEST})\n"
            "sh_test(name = 's_test', srcs = ['s.sh'])\n",
            "u_test.py": FAILING,
            "g.cc": GOOGLE,
            "s.sh": "echo no; exit 1\n",
        }
    )
    report = tmp_path / "reports/junit.xml"

    lamina(root, "test", "//...", "--junit-xml", str(report))

    assert cases(report) == {
        "test_good": "passed",
        "test_bad": "failure",
        "test_skipped": "skipped",
        "One": "passed",
        "Two": "passed",
        "Three": "passed",
        "s_test": "error",
    }
    suites = {suite.get("name"): suite for suite in ElementTree.parse(report).iter("testsuite")}
    counts = [suites["//:u_test"].get(key) for key in ("tests", "failures", "skipped")]
    assert counts == ["3", "1", "1"]


def test_a_python_test_without_tests_is_a_failure(lamina: Lamina, write: Write) -> None:
    root = write({"t.py": "x = 1\n"})
    python(root)

    done = lamina(root, "test", "//...")

    assert done.returncode == 1
    assert "there is no test in t" in done.stderr


def test_a_build_test_passes_once_its_targets_are_built(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "BUILD": 'load("@bazel_skylib//rules:build_test.bzl", "build_test")\n'
            "build_test(name = 'good_test', targets = [':l', ':made'])\n"
            "build_test(name = 'bad_test', targets = [':broken'])\n"
            "cc_library(name = 'l', srcs = ['l.c'])\n"
            "genrule(name = 'made', outs = ['made.txt'], cmd = 'echo x > $@')\n"
            "genrule(name = 'broken', outs = ['b.txt'], cmd = 'exit 1', tags = ['manual'])\n",
            "l.c": "int l(void) { return 8; }\n",
        }
    )

    done = lamina(root, "test", "--build_tests_only", "--json", "//...")

    assert statuses(done) == {"//:bad_test": "NOT BUILT", "//:good_test": "PASSED"}


# Coverage.


def lcov(path: Path) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for line in path.read_text().splitlines():
        tag, _, value = line.partition(":")
        if tag == "SF":
            known = found[value] = {}
        elif tag == "DA":
            number, count = map(int, value.split(","))
            known[number] = count
    return found


def test_coverage_tells_which_lines_of_cxx_ran(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "BUILD": "cc_test(name = 'x_test', srcs = ['t.c'], deps = ['//lib:f'])\n"
            "cc_test(name = 'y_test', srcs = ['t.c'], deps = ['//lib:f'], args = ['1'])\n",
            "t.c": "int f(int);\nint main(int n, char **v) { return f(n) - n; }\n",
            "lib/BUILD": "cc_library(name = 'f', srcs = ['f.c'], visibility = ['PUBLIC'])\n",
            "lib/f.c": "int f(int n) {\n  if (n > 2)\n    return 3;\n  return n;\n}\n",
        }
    )

    done = lamina(root, "test", "--coverage", "//...")

    assert done.returncode == 0, done.stderr
    expected = {"lib/f.c": {1: 2, 2: 2, 3: 0, 4: 2}}
    assert lcov(root / "lamina-out/coverage.lcov") == expected
    assert "lib/f.c        3/4  75.0 %" in done.stdout


def test_coverage_tells_which_lines_of_python_ran(lamina: Lamina, write: Write) -> None:
    if subprocess.run(["/usr/bin/python3", "-c", "import coverage"], check=False).returncode:
        pytest.skip("coverage.py is not there: apt-get install python3-coverage")
    root = write(
        {
            "t.py": "import unittest\nfrom new.name import f\n"
            "class T(unittest.TestCase):\n    def test(self): f(1)\n",
            "lib/BUILD": "python_library(name = 'f', srcs = {'name.py': 'f.py'},"
            " base_module = 'new', visibility = ['PUBLIC'])\n",
            "lib/f.py": "def f(n):\n    if n > 2:\n        return 3\n    return n\n",
        }
    )
    python(root, "deps = ['//lib:f']")

    done = lamina(root, "test", "--coverage", "//...")

    assert done.returncode == 0, done.stderr
    expected = {"lib/f.py": {1: 1, 2: 1, 3: 0, 4: 1}}
    assert lcov(root / "lamina-out/coverage.lcov") == expected


def test_a_test_for_another_platform_is_left_out(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "BUILD": "sh_test(name = 'mac_test', srcs = ['t.sh'],"
            " target_compatible_with = ['@platforms//os:macos'])\n"
            "sh_test(name = 'any_test', srcs = ['t.sh'])\n",
            "t.sh": "true\n",
        }
    )

    done = lamina(root, "test", "//...", "--json")

    assert statuses(done) == {"//:any_test": "PASSED"}
    assert "1 target left out" in done.stderr


def test_an_edit_runs_only_the_tests_that_it_concerns(lamina: Lamina, write: Write) -> None:
    root = write(
        {
            "BUILD": "[python_test(name = n + '_test', srcs = [n + '.py']) for n in 'abc'.elems()]",
            "a.py": PASSING,
            "b.py": PASSING,
            "c.py": PASSING,
        }
    )
    lamina(root, "test", "//...")
    (root / "b.py").write_text(PASSING.replace("pass", "assert True"))

    again = by_label(lamina(root, "test", "//...", "--json"))

    assert {label: test["cached"] for label, test in again.items()} == {
        "//:a_test": True,
        "//:b_test": False,
        "//:c_test": True,
    }
