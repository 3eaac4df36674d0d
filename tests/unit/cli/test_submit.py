"""What a target is as a job: remembered from one submit to the next, and never for too long."""

from __future__ import annotations

import re
import time

import pytest

from tests.unit.cli.conftest import Lamina

_BUILD = """\
python_binary(name = "program", srcs = ["program.py"])
job(name = "job", binary = ":program", args = ["--epochs", "3"], nodes = 2, env = {"A": "1"})
"""
_SETTINGS = '[cluster.lab]\nlauncher = "slurm"\nregistry = "oci:hub"\n'


@pytest.fixture
def site(lamina: Lamina) -> Lamina:
    lamina.write({"BUILD": _BUILD, "program.py": "print(1)\n", "lamina.toml": _SETTINGS})
    time.sleep(0.06)  # files younger than that are looked at each time
    return lamina


def script(
    site: Lamina, target: str = "//:job", *words: str, switches: tuple[str, ...] = ()
) -> str:
    done = site("submit", target, "--on", "lab", "--dry-run", "-q", *words, switches=switches)
    assert done.returncode == 0, done.stderr
    return re.sub(r"job-[0-9a-f]+|program-[0-9a-f]+|@sha256:[0-9a-f]+", "", done.stdout)


def test_the_second_submit_is_the_same(site: Lamina) -> None:
    first = script(site)

    assert script(site) == first
    assert "--nodes=2" in first
    assert "--epochs 3" in first


def test_an_edit_of_a_source_looks_at_no_build_file(site: Lamina) -> None:
    first = script(site)
    site.write({"program.py": "print(2)\n"})
    time.sleep(0.06)

    done = site("submit", "//:job", "--on", "lab", "--dry-run", "-q", switches=("-X", "importtime"))

    assert done.returncode == 0
    assert "lamina.build.analysis" not in done.stderr
    assert "lamina.build.starlark" not in done.stderr
    assert first.count("srun") == done.stdout.count("srun")


def test_an_edit_of_the_job_counts(site: Lamina) -> None:
    script(site)
    site.write({"BUILD": _BUILD.replace("nodes = 2", "nodes = 5")})

    assert "--nodes=5" in script(site)


def test_a_program_may_become_a_job_and_none_at_all(site: Lamina) -> None:
    assert "--epochs" not in script(site, "//:program")
    text = _BUILD.replace('"program"', '"real"').replace(":program", ":real")

    site.write({"BUILD": text.replace('"job"', '"program"')})
    assert "--epochs 3" in script(site, "//:program")

    site.write({"BUILD": 'filegroup(name = "program", srcs = ["program.py"])\n'})
    done = site("submit", "//:program", "--on", "lab", "--dry-run")
    assert done.returncode == 3
    assert "`//:program` is neither a job nor a program" in done.stderr


def test_the_command_line_counts_over_what_is_remembered(site: Lamina) -> None:
    script(site)

    assert "--nodes=7" in script(site, "//:job", "--nodes", "7")
    assert "--nodes=2" in script(site)


def test_the_folder_that_a_word_is_written_in_counts(site: Lamina) -> None:
    script(site, ":job")
    site.write({"inner/BUILD": _BUILD.replace("nodes = 2", "nodes = 9"), "inner/program.py": ""})

    done = site("submit", ":job", "--on", "lab", "--dry-run", "-q", at="inner")

    assert "--nodes=9" in done.stdout
