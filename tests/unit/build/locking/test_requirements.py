"""Files of requirements, as pip reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.build.locking import requirements
from lamina.core.errors import UserError


def write(folder: Path, text: str, name: str = "requirements.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_lines_are_read_as_pip_reads_them(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """# about
six   # why
attrs >= 22 ; python_version < "4"
requests[socks] == 2.0 \\
    --hash=sha256:00 \\
    --hash=sha256:11

click
""",
    )

    found = requirements.read([file])

    assert found.requirements == [
        "six", 'attrs >= 22 ; python_version < "4"', "requests[socks] == 2.0", "click",
    ]  # fmt: skip


def test_options_say_what_else_is_read_and_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHO", "me")
    (tmp_path / "more").mkdir()
    write(tmp_path / "more", "-c ../limits.txt\ntwo\n", "base.txt")
    write(tmp_path, "two<3\n", "limits.txt")
    file = write(
        tmp_path,
        "-r more/base.txt\n--index-url https://${WHO}@index.invalid/simple\n"
        "--extra-index-url=https://other.invalid\n-f https://files.invalid\n--pre\none\n",
    )

    found = requirements.read([file])

    assert (found.requirements, found.constraints) == (["two", "one"], ["two<3"])
    assert found.looking == {
        "index-url": "https://me@index.invalid/simple",
        "extra-index-url": ["https://other.invalid"],
        "find-links": ["https://files.invalid"],
        "prerelease": "allow",
    }


def test_archives_get_the_name_they_have(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "./a_b-1.0-py3-none-any.whl\nhttps://x.invalid/c.d-2.tar.gz ; os_name == 'nt'\n"
        "e @ https://x.invalid/e-1.zip\nf[x] @ ./f-1.zip\n",
    )

    found = requirements.read([file])

    assert found.requirements == [
        f"a-b @ {(tmp_path / 'a_b-1.0-py3-none-any.whl').resolve().as_uri()}",
        "c-d @ https://x.invalid/c.d-2.tar.gz ; os_name == 'nt'",
        "e @ https://x.invalid/e-1.zip",
        f"f[x] @ {(tmp_path / 'f-1.zip').resolve().as_uri()}",
    ]


PROJECT = """
[project]
dependencies = ["one"]
optional-dependencies = { more = ["two"] }
[dependency-groups]
test = ["three", { include-group = "base" }]
base = ["four", { include-group = "test" }]
[tool.uv]
constraint-dependencies = ["one<2"]
find-links = ["https://files.invalid"]
package = true
"""


def test_a_pyproject_has_dependencies_extras_and_groups(tmp_path: Path) -> None:
    file = write(tmp_path, PROJECT, "pyproject.toml")

    found = requirements.read([file], ["more"], ["test"])

    assert found.requirements == ["one", "two", "three", "four"]
    assert found.constraints == ["one<2"]
    assert found.looking == {"find-links": ["https://files.invalid"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("six\n=1", "requirements.txt:2`: not a requirement: `=1`"),
        ("-e .", "requirements.txt:1`: an editable requirement cannot be locked: `.`"),
        ("--config x", "`--config` is not known here"),
        ("./m.whl", "`m.whl` is not named as wheels and sdists are"),
        ("-r gone.txt", "cannot read requirements from"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        requirements.read([write(tmp_path, text)])

    assert words in caught.value.message


def test_an_extra_that_is_none_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no extra `less`"):
        requirements.read([write(tmp_path, PROJECT, "pyproject.toml")], ["less"])
