"""`lamina build`: what it puts into `lamina-out`, and when it does nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

import pytest

Done = subprocess.CompletedProcess[str]


class Lamina(Protocol):
    root: Path
    store: Path
    environment: dict[str, str]

    def write(self, files: dict[str, str]) -> None: ...
    def actions(self, *words: str) -> int: ...
    def __call__(self, *words: str, at: str = "", switches: tuple[str, ...] = ()) -> Done: ...


COPY = (
    "genrule(name = 'copy', srcs = glob(['*.txt']), outs = ['out.cat'], cmd = 'cat $(SRCS) > $@')\n"
)


@pytest.fixture
def built(lamina: Lamina) -> Lamina:
    """A workspace that was built twice, the second time from the record."""
    lamina.write(
        {
            "p/BUILD": "load('//:macros.bzl', 'copy')\ncopy()\n",
            "macros.bzl": f"def copy():\n    native.{COPY.replace('glob', 'native.glob')}",
            "p/a.txt": "a\n",
        }
    )
    assert lamina.actions() == 1
    assert lamina.actions() == 0
    return lamina


def test_a_null_build_loads_no_starlark_and_no_rules(built: Lamina) -> None:
    done = built("build", "//...", switches=("-X", "importtime"))

    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "lamina.build.record" in loaded
    assert not [name for name in loaded if name.partition(".")[0] in ("starlark", "google", "rich")]
    assert not {"lamina.build.loader", "lamina.build.engine", "lamina.build.rule"} & loaded
    assert not {"lamina.cli.console", "lamina.build.history.details"} & loaded
    assert done.stdout == "//p:copy  lamina-out/p/out.cat\n"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("p/a.txt", "edited\n", "edited\n"),
        ("p/b.txt", "new\n", "a\nnew\n"),
        ("p/BUILD", COPY.replace("cat $", "tac $"), "a\n"),
        (
            "macros.bzl",
            f"def copy():\n    native.{COPY.replace('glob', '').replace('*', 'a')}",
            "a\n",
        ),
        ("lamina.toml", "[workspace]\nname = 'other'\n", "a\n"),
        ("p/q/BUILD", "filegroup(name = 'f')\n", "a\n"),
    ],
)
def test_any_change_ends_the_null_build(built: Lamina, path: str, text: str, expected: str) -> None:
    built.write({path: text})

    done = built("build", "//...", switches=("-X", "importtime"))

    assert done.returncode == 0
    assert "lamina.build.snapshot" in done.stderr
    # What a source holds decides on no BUILD file.
    assert ("lamina.build.loader" in done.stderr) == (path != "p/a.txt")
    assert (built.root / "lamina-out/p/out.cat").read_text() == expected


def test_a_removed_file_ends_the_null_build(built: Lamina) -> None:
    built.write({"p/b.txt": "b\n"})
    assert built.actions() == 1
    (built.root / "p/b.txt").unlink()

    assert built.actions() == 0  # it is known from the first build
    assert (built.root / "lamina-out/p/out.cat").read_text() == "a\n"


def test_a_build_file_in_a_new_folder_is_found(built: Lamina) -> None:
    built.write({"new/folder/BUILD": "genrule(name = 'x', outs = ['y'], cmd = 'touch $@')\n"})

    assert built.actions() == 1


def test_a_new_build_file_takes_files_away_from_a_glob(built: Lamina) -> None:
    built.write({"p/BUILD": COPY.replace("*.txt", "**/*.txt"), "p/q/b.txt": "b\n"})
    built.actions()
    assert (built.root / "lamina-out/p/out.cat").read_text() == "a\nb\n"

    built.write({"p/q/BUILD": ""})

    built.actions()
    assert (built.root / "lamina-out/p/out.cat").read_text() == "a\n"


def test_a_source_edited_twice_at_once_is_noticed(built: Lamina) -> None:
    path = built.root / "p/a.txt"
    for number in range(3):
        path.write_text(f"{number}\n")
        status = path.stat()
        assert built.actions() == 1
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert (built.root / "lamina-out/p/out.cat").read_text() == "2\n"


def test_a_file_of_the_same_size_and_time_is_noticed(built: Lamina) -> None:
    path = built.root / "p/a.txt"
    status = path.stat()
    (built.root / "other").write_text("b\n")

    (built.root / "other").replace(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert built.actions() == 1


def test_a_source_edited_during_the_build_is_noticed(lamina: Lamina, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin/bwrap"
    edit = f"[ -e {tmp_path}/done ] || {{ touch {tmp_path}/done; echo b > {lamina.root}/a.txt; }}"
    stand_in.write_text(f'#!/bin/sh\n{edit}\nexec {shutil.which("bwrap")} "$@"\n')
    stand_in.chmod(0o755)
    lamina.environment["PATH"] = f"{stand_in.parent}:{lamina.environment['PATH']}"
    lamina.write({"a.txt": "a\n", "BUILD": COPY})

    assert lamina.actions() == 1
    assert lamina.actions() == 1
    assert (lamina.root / "lamina-out/out.cat").read_text() == "b\n"


def test_an_edited_output_is_put_right(built: Lamina) -> None:
    (built.root / "lamina-out/p/out.cat").chmod(0o644)
    (built.root / "lamina-out/p/out.cat").write_text("edited")

    assert built.actions() == 0
    assert (built.root / "lamina-out/p/out.cat").read_text() == "a\n"


def test_outputs_are_read_only(lamina: Lamina) -> None:
    lamina.write(
        {"BUILD": "genrule(name='g', outs=['x', 'y'], cmd='touch $(OUTS); chmod +x $(@D)/y')\n"}
    )
    lamina.actions()

    modes = [(lamina.root / "lamina-out" / name).stat().st_mode & 0o777 for name in ("x", "y")]
    assert modes == [0o444, 0o555]


def test_a_removed_output_is_put_back(built: Lamina) -> None:
    shutil.rmtree(built.root / "lamina-out")

    assert built.actions() == 0
    assert (built.root / "lamina-out/p/out.cat").read_text() == "a\n"


def test_an_edited_output_does_not_reach_the_store(built: Lamina) -> None:
    (built.root / "lamina-out/p/out.cat").chmod(0o644)
    with (built.root / "lamina-out/p/out.cat").open("a") as file:
        file.write("edited")
    shutil.rmtree(built.root / "lamina-out")
    built.actions()

    assert (built.root / "lamina-out/p/out.cat").read_text() == "a\n"


def test_the_same_files_elsewhere_need_no_action(built: Lamina, tmp_path: Path) -> None:
    shutil.move(built.root, tmp_path / "moved")
    built.root = tmp_path / "moved"

    assert built.actions() == 0


def test_a_workspace_in_another_folder_has_its_own_record(built: Lamina, tmp_path: Path) -> None:
    shutil.copytree(built.root, tmp_path / "copy")
    built.root = tmp_path / "copy"
    built.write({"p/a.txt": "copy\n"})

    assert built.actions() == 1


def test_outputs_of_every_kind_are_published(lamina: Lamina) -> None:
    command = (
        "mkdir -p out/p/d/e out/p/empty; echo 1 > out/p/d/e/f; ln -s e out/p/d/l; touch out/p/x"
    )
    outs = "outs = ['d', 'empty', 'x'], executable = False"
    lamina.write({"p/BUILD": f"genrule(name = 'g', {outs}, cmd = '{command}')\n"})

    first, second = lamina.actions(), lamina.actions()

    out = lamina.root / "lamina-out/p"
    assert (first, second) == (1, 0)
    assert (out / "d/l").readlink() == Path("e")
    assert (out / "d/l/f").read_text() == "1\n"
    assert list((out / "empty").iterdir()) == []
    assert not os.access(out / "x", os.X_OK)


PROGRAM = "python_binary(name = 'm', srcs = ['m.py'], deps = [':lib'])\n"
LIBRARY = "python_library(name = 'lib', srcs = ['lib.py'], resources = {resources})\n"


@pytest.fixture
def program(lamina: Lamina) -> Lamina:
    lamina.write(
        {
            "p/BUILD": PROGRAM + LIBRARY.format(resources=["d.txt"]),
            "p/m.py": "import p.lib",
            "p/lib.py": "print('ran')",
            "p/d.txt": "",
        }
    )
    lamina.actions("//p:m")
    return lamina


def test_a_program_is_put_down_ready_to_run(program: Lamina) -> None:
    done = subprocess.run(
        [program.root / "lamina-out/p/m.root/m"], capture_output=True, text=True, check=True
    )

    assert done.stdout == "ran\n"


def test_what_a_program_no_longer_has_is_removed(program: Lamina) -> None:
    assert (program.root / "lamina-out/p/m.root/p/d.txt").exists()

    program.write({"p/BUILD": PROGRAM + LIBRARY.format(resources=[])})
    program.actions("//p:m")

    assert not (program.root / "lamina-out/p/m.root/p/d.txt").exists()


def test_a_part_of_a_program_that_was_removed_is_put_back(program: Lamina) -> None:
    (program.root / "lamina-out/p/m.root/p/lib.py").unlink()

    program.actions("//p:m")

    assert (program.root / "lamina-out/p/m.root/p/lib.py").exists()


def test_nothing_unfinished_stays_in_the_outputs(program: Lamina) -> None:
    names = {path.name for path in (program.root / "lamina-out").iterdir()}

    assert names == {".gitignore", "p"}


def test_git_leaves_outputs_out(program: Lamina) -> None:
    subprocess.run(["git", "init", "-q"], cwd=program.root, check=True)

    asked = ["git", "status", "--porcelain", "--untracked-files=all"]
    listed = subprocess.run(asked, cwd=program.root, capture_output=True, text=True, check=True)

    assert "lamina.toml" in listed.stdout
    assert "lamina-out" not in listed.stdout


@pytest.mark.parametrize(
    ("at", "pattern"),
    [("", "//p:copy"), ("", "//p/..."), ("p", ":copy"), ("p", ":all"), ("", "p:copy")],
)
def test_patterns_start_from_the_current_folder(built: Lamina, at: str, pattern: str) -> None:
    assert built("build", pattern, at=at).stdout == "//p:copy  lamina-out/p/out.cat\n"


def test_patterns_can_be_taken_away(built: Lamina) -> None:
    built.write({"q/BUILD": "genrule(name = 'g', outs = ['x'], cmd = 'touch $@')\n"})

    assert built("build", "//...", "--", "-//p/...").stdout == "//q:g  lamina-out/q/x\n"


def test_json_tells_the_outputs(built: Lamina) -> None:
    done = built("build", "--json", "//...")

    assert json.loads(done.stdout) == {
        "outputs": {"//p:copy": ["lamina-out/p/out.cat"]},
        "actions_run": 0,
    }


def rules(**commands: str) -> str:
    return "".join(
        f"genrule(name = '{name}', outs = ['{name}.out'], cmd = '{command}')\n"
        for name, command in commands.items()
    )


def test_keep_going_builds_the_rest_and_tells_all(lamina: Lamina) -> None:
    lamina.write(
        {"BUILD": rules(a="echo why-a >&2; exit 1", b="echo why-b >&2; exit 2", c="echo > $@")}
    )

    done = lamina("build", "-k", "//...")

    assert done.returncode == 1
    assert "why-a" in done.stderr
    assert "why-b" in done.stderr
    assert "Genrule c.out" in done.stderr


def test_an_action_that_failed_fails_again(lamina: Lamina) -> None:
    lamina.write({"BUILD": rules(a="exit 1")})

    assert [lamina("build", "//...").returncode for _ in range(2)] == [1, 1]


def test_one_job_is_enough(lamina: Lamina) -> None:
    lamina.write({"BUILD": rules(a="echo > $@", b="echo > $@", c="echo > $@")})

    assert lamina.actions("-j", "1", "//...") == 3


def test_quiet_tells_no_progress(lamina: Lamina) -> None:
    lamina.write({"BUILD": rules(a="echo > $@")})

    assert "Genrule" not in lamina("build", "-q", "//...").stderr


def test_clean_removes_the_outputs(built: Lamina) -> None:
    built("clean")

    assert not (built.root / "lamina-out").exists()
    assert built.actions() == 0


def test_clean_can_empty_the_store(built: Lamina) -> None:
    built("clean", "--expunge")

    assert built.actions() == 1


def test_two_targets_of_one_program_that_write_one_path_are_a_fault(lamina: Lamina) -> None:
    lamina.write(
        {
            "BUILD": "py_binary(name = 'x', srcs = ['x.py'], deps = ['//a:m', '//b:m'])\n",
            "a/BUILD": MODULE,
            "b/BUILD": MODULE,
            "x.py": "",
            "a/m.py": "a = 1\n",
            "b/m.py": "b = 1\n",
        }
    )

    done = lamina("build", "//:x")

    assert done.returncode == 3
    assert "`m.py` comes from both `//a:m` and `//b:m`" in done.stderr


MODULE = "py_library(name='m', srcs=['m.py'], base_module='', visibility=['PUBLIC'])\n"


def test_an_output_that_was_a_link_to_a_folder_is_not_written_through(lamina: Lamina) -> None:
    lamina.write({"BUILD": "genrule(name='g', out='d', cmd='mkdir $OUT.real; ln -s /tmp $OUT')\n"})
    assert lamina("build", "//:g").returncode == 0

    lamina.write({"BUILD": "genrule(name='g', outs=['d/f'], cmd='echo new > $@')\n"})
    done = lamina("build", "//:g")

    assert done.returncode == 0, done.stderr
    assert (lamina.root / "lamina-out/d/f").read_text() == "new\n"
    assert not (lamina.root / "lamina-out/d").is_symlink()


def test_folders_that_a_program_no_longer_has_are_removed(lamina: Lamina) -> None:
    text = "py_binary(name='x', srcs=['x.py'], resources=['{}'])\n"
    lamina.write({"BUILD": text.format("d/f"), "x.py": "", "d/f": ""})
    assert lamina("build", "//:x").returncode == 0

    lamina.write({"BUILD": text.format("e"), "e": ""})
    assert lamina("build", "//:x").returncode == 0

    assert not (lamina.root / "lamina-out/x.root/d").exists()


def test_patterns_may_come_from_files(built: Lamina) -> None:
    built.write({"some.txt": "# for people\n\n//p/...  # and more\n", "none.txt": "\n"})

    for words in (["@some.txt"], ["--target-file", "some.txt"], ["--target-pattern-file=some.txt"]):
        assert built("build", *words).stdout == "//p:copy  lamina-out/p/out.cat\n"
    assert "error: cannot read patterns from `absent`: No such" in built("build", "@absent").stderr
    assert "error: `lamina build` needs PATTERN" in built("build", "@none.txt").stderr


def test_many_outputs_are_listed_when_asked_for(lamina: Lamina) -> None:
    outs = [f"{number}.x" for number in range(25)]
    lamina.write({"BUILD": f"genrule(name = 'g', outs = {outs}, cmd = 'touch $(OUTS)')\n"})

    assert lamina("build", "//...").stdout == ""
    assert len(lamina("build", "//...", "--show-output").stdout.splitlines()) == 25
    full = lamina("build", "//...", "--show-full-output").stdout.splitlines()
    assert f"//:g  {lamina.root}/lamina-out/0.x" in full


def test_an_output_is_copied_to_where_it_is_wanted(built: Lamina) -> None:
    (built.root / "folder").mkdir()

    assert built("build", "//p:copy", "--out", "new/name").returncode == 0
    assert built("build", "//p:copy", "--out", "folder").returncode == 0

    assert (built.root / "new/name").read_text() == "a\n"
    assert (built.root / "new/name").stat().st_mode & 0o777 == 0o644
    assert (built.root / "folder/out.cat").read_text() == "a\n"


def test_a_program_is_copied_with_all_that_it_needs(program: Lamina) -> None:
    assert program("build", "//p:m", "--out", "there").returncode == 0

    done = subprocess.run([program.root / "there/m"], capture_output=True, text=True, check=True)
    assert done.stdout == "ran\n"


def test_out_is_for_one_target(built: Lamina) -> None:
    built.write({"q/BUILD": "filegroup(name = 'f')\n"})

    assert "2 targets were chosen" in built("build", "//...", "--out", "x").stderr
    assert "`//q:f` makes nothing" in built("build", "//q:f", "--out", "x").stderr


def test_output_format_json_is_json(built: Lamina) -> None:
    done = built("build", "--output-format=json", "//...")
    wrong = built("build", "--output-format", "json", "//absent:x")

    assert json.loads(done.stdout)["outputs"] == {"//p:copy": ["lamina-out/p/out.cat"]}
    assert json.loads(wrong.stdout)["error"]["exit_code"] == 3


def test_a_report_tells_of_each_target(lamina: Lamina) -> None:
    lamina.write({"BUILD": rules(a="echo > $@", b="exit 1")})
    failed = lamina("build", "-k", "//...", "--build-report", "out/failed")
    lamina.write({"BUILD": rules(a="echo > $@")})
    made = lamina("build", "//...", "--build-report", "made")

    assert (failed.returncode, made.returncode) == (1, 0)
    report = json.loads((lamina.root / "out/failed").read_text())
    assert (report["success"], report["results"]["//:b"]["success"]) == (False, "FAIL")
    assert report["failures"] == {"//:b": "`//:b`: Genrule b.out failed with exit code 1"}
    assert report["results"]["//:a"] == {
        "success": "SUCCESS",
        "outputs": {"DEFAULT": ["lamina-out/a.out"]},
    }
    report = json.loads((lamina.root / "made").read_text())
    assert report["results"]["//:a"]["outputs"]["DEFAULT"] == ["lamina-out/a.out"]


def test_a_report_tells_what_was_made_beside_faults_and_not_what_waited(lamina: Lamina) -> None:
    lamina.write({"BUILD": rules(a="echo > $@"), "faulty/BUILD": "nothing()\n"})
    lamina("build", "-k", "//...", "--build-report", "faulty.json")
    lamina.write({"faulty/BUILD": ""})
    waits = "genrule(name='w', outs=['w.out'], srcs=[':b'], cmd='cat $< > $@')\n"
    lamina.write({"BUILD": rules(a="echo > $@", b="exit 1") + waits})
    lamina("build", "-k", "//...", "--build-report", "failed.json")

    faulty = json.loads((lamina.root / "faulty.json").read_text())
    failed = json.loads((lamina.root / "failed.json").read_text())
    ends = {label: result["success"] for label, result in failed["results"].items()}
    assert (faulty["success"], list(faulty["results"])) == (False, ["//:a"])
    assert ends == {"//:a": "SUCCESS", "//:b": "FAIL"}


def test_keep_going_publishes_what_was_made(lamina: Lamina) -> None:
    lamina.write({"BUILD": rules(a="exit 1", b="echo b > $@")})

    lamina("build", "-k", "//...")

    assert (lamina.root / "lamina-out/b.out").read_text() == "b\n"


def test_the_last_line_tells_how_the_build_went(lamina: Lamina) -> None:
    lamina.write({"BUILD": rules(a="echo > $@", b="echo > $@")})

    told = [lamina("build", "//...").stderr.splitlines()[-1] for _ in range(2)]

    assert told[0].startswith("build succeeded: 2 targets; 2 actions run, 0 cached; ")
    assert told[1].startswith("build succeeded: 2 targets; nothing to do; ")


CHAIN = """
genrule(name = 'one', srcs = ['a.txt'], outs = ['one.out'], cmd = 'cat $< > $@')
genrule(name = 'two', srcs = [':one'], outs = ['two.out'], cmd = 'cat $< > $@')
genrule(name = 'new', outs = ['new.out'], cmd = 'touch $@')
"""


def test_a_dry_run_tells_what_would_run_and_why(lamina: Lamina) -> None:
    lamina.write(
        {
            "BUILD": CHAIN.replace("genrule(name = 'new'", "filegroup(name = 'new'").replace(
                ", outs = ['new.out'], cmd = 'touch $@'", ""
            ),
            "a.txt": "1\n",
        }
    )
    lamina.actions()
    lamina.write({"BUILD": CHAIN, "a.txt": "2\n"})

    done = lamina("build", "--dry-run", "//...")

    assert done.returncode == 0
    lines = re.sub(r"[0-9a-f]{16}", "#", done.stdout).splitlines()
    assert sorted(lines) == sorted(
        [
            "would run  Genrule new.out  //:new",
            "             it is not known to have run before",
            "would run  Genrule one.out  //:one",
            "             since build 1:",
            "             input a.txt changed: # -> #",
            "may run    Genrule two.out  //:two",
            "             after Genrule one.out",
        ]
    )
    assert done.stderr == "2 actions would run, 1 may follow, 0 cached\n"
    assert (lamina.root / "lamina-out/two.out").read_text() == "1\n"


def test_a_dry_run_as_json_tells_the_same(lamina: Lamina) -> None:
    lamina.write({"BUILD": CHAIN, "a.txt": "1\n"})

    told = json.loads(lamina("build", "-n", "--json", "//:two").stdout)

    assert [each["target"] for each in told["would_run"]] == ["//:one"]
    assert told["may_run"] == [
        {"action": "Genrule two.out", "target": "//:two", "after": ["Genrule one.out"]}
    ]


def test_a_dry_run_of_what_is_done_has_nothing_to_do(built: Lamina) -> None:
    done = built("build", "-n", "//...")

    assert (done.stdout, done.stderr) == (
        "",
        "0 actions would run, 0 may follow, 1 cached\n",
    )
