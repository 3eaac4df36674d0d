"""Every form of a package, written by the command line, unpacked by others' tools, and run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lamina.formats import erofs

Lamina = Callable[..., subprocess.CompletedProcess[str]]

LAST_LINE = "There is one F: D and E use one counter, at one address"
ALL = ("layers", "tar.gz", "tar.zst", "zip", "xar", "oci", "oci-archive", "docker", "dir")
SOURCES = Path(__file__).parents[2] / "src"

UNPACK = {
    "tar.gz": ["tar", "-xzf"],
    "tar.zst": ["tar", "--zstd", "-xf"],
    "zip": ["unzip", "-q"],
}


def packaged(lamina: Lamina, root: Path, target: str, form: str, *options: str) -> Path:
    """Write a form below a folder beside the project; where it is."""
    out = root.parent / "out"
    done = lamina(root, "package", target, "--format", form, "-o", str(out), *options)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def output(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("form", UNPACK)
def test_an_archive_runs_wherever_it_is_unpacked(
    lamina: Lamina, article: Path, tmp_path: Path, form: str
) -> None:
    made = packaged(lamina, article, "//:A", form)
    assert made.name.startswith("A-")
    assert made.name.endswith(f".{form}")

    place = tmp_path / "it's a place"
    place.mkdir()
    output(*UNPACK[form], made, cwd=place)

    assert output(place / "A").splitlines()[-1] == LAST_LINE
    shutil.move(place, tmp_path / "moved")
    assert output(tmp_path / "moved/A").splitlines()[-1] == LAST_LINE


def test_a_folder_runs_as_it_is_and_is_replaced_as_a_whole(
    lamina: Lamina, article: Path, tmp_path: Path
) -> None:
    made = packaged(lamina, article, "//:A", "dir")
    assert output(made / "A").splitlines()[-1] == LAST_LINE
    assert stat.S_IMODE((made / "A").stat().st_mode) == 0o755
    assert stat.S_IMODE((made / "A.py").stat().st_mode) == 0o644
    (made / "left").write_text("over")

    assert packaged(lamina, article, "//:A", "dir") == made

    assert not (made / "left").exists()
    assert list(made.parent.iterdir()) == [made]


def test_all_forms_hold_the_same_files(lamina: Lamina, article: Path, tmp_path: Path) -> None:
    folder = packaged(lamina, article, "//:A", "dir")
    for form, command in UNPACK.items():
        place = tmp_path / form
        place.mkdir()
        output(*command, packaged(lamina, article, "//:A", form), cwd=place)
        (place / "__main__.py").unlink(missing_ok=True)
        assert output("diff", "-r", folder, place) == ""
    made = packaged(lamina, article, "//:A", "xar")
    output("unsquashfs", "-quiet", "-no-progress", "-offset", "4096", "-dest", tmp_path / "x", made)

    assert output("diff", "-r", folder, tmp_path / "x") == ""


def test_python_runs_a_zip_without_native_code(lamina: Lamina, pure: Path, tmp_path: Path) -> None:
    made = packaged(lamina, pure, "//:app", "zip", "--version", "v1")

    words = output("python3", made, "more", cwd=tmp_path, PYTHONPATH="/nowhere")
    relative = output("python3", made.name, cwd=made.parent)

    assert words == "deep.er.mod __main__ ['--given', 'two words', 'more'] it's v1\n"
    assert relative == "deep.er.mod __main__ ['--given', 'two words'] it's v1\n"
    done = subprocess.run(["python3", made], env={**os.environ, "CODE": "7"}, check=False)
    assert done.returncode == 7


def test_python_says_why_it_can_not_run_a_zip_with_native_code(
    lamina: Lamina, article: Path
) -> None:
    made = packaged(lamina, article, "//:A", "zip")

    done = subprocess.run(["python3", made], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "native code (lib/libD.so)" in done.stderr


def test_a_version_is_seen_by_the_program_and_changes_no_layer(
    lamina: Lamina, pure: Path, tmp_path: Path
) -> None:
    found = [
        json.loads(lamina(pure, "package", "--json", "//:app", *words).stdout)
        for words in ((), ("--version", "release-2"))
    ]

    assert found[0]["layers"] == [{**layer, "made": True} for layer in found[1]["layers"]]
    assert found[1]["version"] == "release-2"
    assert found[0]["digest"] != found[1]["digest"]
    assert lamina(pure, "exec", "app:release-2").stdout.split()[-1] == "release-2"
    folder = packaged(lamina, pure, "//:app", "dir", "--version", "release-2")
    assert folder.name == "app-release-2"
    assert output(folder / "app", LAMINA_VERSION="outer").split()[-1] == "release-2"


@pytest.mark.parametrize("tool", ["git", "hg"])
def test_the_commit_is_in_the_name_and_seen_by_the_program(
    lamina: Lamina, pure: Path, tmp_path: Path, tool: str
) -> None:
    for words in COMMIT[tool]:
        output(tool, *words, cwd=pure, HOME=str(tmp_path), HGPLAIN="1")
    shown = ("rev-parse", "HEAD") if tool == "git" else ("log", "-r", ".", "-T", "{node}")
    commit = output(tool, *shown, cwd=pure, HOME=str(tmp_path))[:12]

    clean = packaged(lamina, pure, "//:app", "dir")
    (pure / "app.py").write_text((pure / "app.py").read_text() + "# edited\n")
    dirty = packaged(lamina, pure, "//:app", "dir")

    assert clean.name == f"app-{commit}"
    assert output(clean / "app").split()[-1] == commit
    assert re.fullmatch(f"app-{commit}-dirty\\.[0-9a-f]{{8}}", dirty.name)
    assert f"app-{output(dirty / 'app').split()[-1]}" == dirty.name


COMMIT = {
    "git": [
        ("init", "-q"),
        ("add", "-A"),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first"),
    ],
    "hg": [("init",), ("commit", "-q", "-A", "-m", "first", "-u", "a")],
}


def test_what_is_asked_of_the_compression_is_done(lamina: Lamina, article: Path) -> None:
    sizes = {}
    for words in ("none", "zstd", "gzip", "lz4", "xz"):
        made = packaged(lamina, article, "//:A", "xar", "--compression", words)
        text = output("unsquashfs", "-s", "-offset", "4096", made)
        assert f"Compression {'gzip' if words == 'none' else words}" in text
        sizes[words] = made.stat().st_size
    assert sizes["none"] > max(sizes[words] for words in ("zstd", "gzip", "xz", "lz4"))

    made = packaged(lamina, article, "//:A", "xar", "--level", "19", "--block-size", "4096")

    assert "Block size 4096" in output("unsquashfs", "-s", "-offset", "4096", made)


def test_layers_of_another_compression_are_layers_of_their_own(
    lamina: Lamina, article: Path
) -> None:
    usual = json.loads(lamina(article, "package", "--json", "//:A").stdout)

    lz4 = json.loads(lamina(article, "package", "--json", "--compression=lz4", "//:A").stdout)

    assert all(layer["made"] for layer in lz4["layers"])
    again = json.loads(lamina(article, "package", "--json", "//:A").stdout)
    assert again["digest"] == usual["digest"] != lz4["digest"]
    assert not any(layer["made"] for layer in again["layers"])


def test_the_layers_and_their_manifest_can_be_taken_away(lamina: Lamina, article: Path) -> None:
    made = packaged(lamina, article, "//:A", "layers")

    manifest = (made / "manifest.json").read_bytes()
    for layer in json.loads(manifest)["layers"]:
        title = layer["annotations"]["org.opencontainers.image.title"]
        assert (
            f"sha256:{hashlib.sha256((made / title).read_bytes()).hexdigest()}" == layer["digest"]
        )
    assert len(list(made.iterdir())) == 7 + 2
    digest = hashlib.sha256(manifest).hexdigest()
    assert lamina(article, "exec", f"A@sha256:{digest}").stdout.splitlines()[-1] == LAST_LINE


class TestErofs:
    """`format = "erofs"` in `lamina.toml`."""

    @pytest.fixture
    def root(self, article: Path) -> Path:
        with (article / "lamina.toml").open("a") as file:
            file.write('\n[layers]\nformat = "erofs"\n')
        return article

    def test_a_package_of_erofs_layers_runs(self, lamina: Lamina, root: Path) -> None:
        done = lamina(root, "run", "//:A")

        assert done.stdout.splitlines()[-1] == LAST_LINE, done.stderr
        made = packaged(lamina, root, "//:A", "layers")
        for layer in made.glob("*.erofs"):
            erofs.parse(layer.read_bytes())
            output("fsck.erofs", layer)
        assert len(list(made.glob("*.erofs"))) == 7

    def test_an_edit_makes_one_layer_of_the_same_form(self, lamina: Lamina, root: Path) -> None:
        lamina(root, "package", "//:A")
        (root / "B.py").write_text((root / "B.py").read_text() + "# edited\n")

        found = json.loads(lamina(root, "package", "--json", "//:A").stdout)

        made = [layer["title"] for layer in found["layers"] if layer["made"]]
        assert [title.partition("-")[0] for title in made] == ["B"]
        assert all(layer["title"].endswith(".erofs") for layer in found["layers"])

    def test_other_forms_are_as_they_are_with_xar_layers(
        self, lamina: Lamina, root: Path, copy_of: Callable[..., Path]
    ) -> None:
        plain = copy_of("article", "plain/article")

        for form in ("xar", "tar.gz", "oci-archive"):
            one, other = (packaged(lamina, each, "//:A", form) for each in (root, plain))
            assert one.read_bytes() == other.read_bytes()


def digest_of(folder: Path) -> dict[str, str]:
    """All that tells one folder from another: kinds, modes, times, contents."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        kept = path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
        known = (stat.filemode(status.st_mode), int(status.st_mtime), kept)
        outer = len(path.relative_to(folder).parts) == 1  # its own time is when it was written
        found[str(path.relative_to(folder))] = str((known[0], *known[2:]) if outer else known)
    return found


def test_every_form_is_the_same_on_another_path_day_and_machine_setting(
    lamina: Lamina, copy_of: Callable[..., Path], tmp_path: Path
) -> None:
    one, other = copy_of("article", "one"), copy_of("article", "some/where else")
    for path in other.iterdir():
        os.utime(path, (10**9, 10**9))
        path.chmod(path.stat().st_mode & 0o700)
    home = tmp_path / "home"
    home.mkdir()
    settings = {
        "LAMINA_STORE": str(home / "store"), "HOME": str(home), "USER": "somebody",
        "LC_ALL": "C", "LANG": "tr_TR.UTF-8", "TZ": "Asia/Kolkata", "SOURCE_DATE_EPOCH": "12345",
        "LD_PRELOAD": faketime(), "FAKETIME": "@2031-05-06 07:08:09", "PYTHONHASHSEED": "7",
    }  # fmt: skip

    for form in ALL:
        words = ("package", "//:A", "--format", form, "-o")
        first = lamina(one, *words, str(tmp_path / "a"), umask=0o22)
        second = lamina(
            other, *words, str(home / "b"), "--jobs", "1", umask=0o77, environment=settings
        )
        assert (first.returncode, second.returncode) == (0, 0), second.stderr

    assert len(list((home / "b").iterdir())) == len(ALL)
    assert digest_of(tmp_path / "a") == digest_of(home / "b")


def faketime() -> str:
    found = [str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")]
    if not found:
        pytest.skip("faketime is not installed")
    return found[0]


@pytest.mark.root
def test_any_form_is_the_same_for_another_user(
    lamina: Lamina, copy_of: Callable[..., Path], tmp_path: Path
) -> None:
    if os.geteuid():
        pytest.skip("needs the rights of root")
    root = copy_of("article")
    out = {}
    for user in (0, 65534):
        home = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True,
                                   check=True).stdout.strip())  # fmt: skip
        try:
            place = home / "article"
            shutil.copytree(root, place)
            subprocess.run(["chown", "-R", f"{user}:{user}", home], check=True)
            for form in ALL:
                done = lamina(
                    place, "package", "//:A", "--format", form, "-o", str(home / "out"),
                    user=user, environment={"LAMINA_STORE": str(home / "s"), "HOME": str(home)},
                )  # fmt: skip
                assert done.returncode == 0, done.stderr
            out[user] = digest_of(home / "out")
        finally:
            shutil.rmtree(home)
    assert out[0] == out[65534]
