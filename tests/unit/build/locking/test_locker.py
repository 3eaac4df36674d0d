"""Locks of distributions that lie in a folder: no index is asked."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from lamina.build.locking import locker
from lamina.build.locking.locker import Ground, Upgrade
from lamina.build.wheels.platform import ask
from lamina.core.errors import HostError, UserError
from lamina.formats import pylock
from lamina.formats.pylock import Archive, Distribution, Settings
from lamina.linux import process
from lamina.linux.versions import ToolVersions
from lamina.store.local import LocalStore

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
WriteWheel = Callable[[Path, Mapping[str, str]], Path]

NONE = Upgrade()


class Shelf:
    """A folder of archives, and the locks that are made of them."""

    def __init__(self, folder: Path, write_wheel: WriteWheel, store: LocalStore) -> None:
        self.folder = folder / "shelf"
        self.root = folder / "root"
        self.file = self.root / "pylock.toml"
        self.root.mkdir()
        self._write_wheel = write_wheel
        platform = ask(Path(sys.executable), ToolVersions(folder / "tools.json"))
        environment = {
            "HOME": str(folder),
            "PATH": "/usr/bin:/bin",
            "UV_CACHE_DIR": str(folder / "cache"),
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_FIND_LINKS": str(self.folder),
            "PIP_NO_INDEX": "1",
        }
        self._ground = Ground(
            Path(sys.executable),
            VERSION,
            store.scratch,
            lambda archive: self.folder / archive.name,
            lambda each: platform.best(each.wheels) is not None,
            environment,
        )

    def put(self, name: str, version: str, *lines: str, tag: str = "py3-none-any") -> Path:
        """A wheel with some lines of METADATA."""
        stem = name.replace("-", "_")
        told = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *lines, ""]
        files = {f"{stem}-{version}.dist-info/METADATA": "\n".join(told), f"{stem}.py": ""}
        return self._write_wheel(self.folder / f"{stem}-{version}-{tag}.whl", files)

    def put_sdist(self, name: str, version: str, requires: str) -> None:
        """An sdist without a wheel."""
        files = {
            "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
            "pyproject.toml": f"[build-system]\nrequires = {requires}\n"
            f'build-backend = "x"\n[project]\nname = "{name}"\nversion = "{version}"\n',
        }
        self.folder.mkdir(exist_ok=True)
        with tarfile.open(self.folder / f"{name}-{version}.tar.gz", "w:gz") as tar:
            for path, text in files.items():
                member = tarfile.TarInfo(f"{name}-{version}/{path}")
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))

    def lock(
        self, text: str, upgrade: Upgrade = NONE, **settings: object
    ) -> dict[str, Distribution]:
        """Lock requirements, keep the lock, and give its distributions by name."""
        (self.root / "in.txt").write_text(text)
        chosen = Settings(("in.txt",), **settings)  # type: ignore[arg-type]
        self.file.write_text(locker.lock(self.file, chosen, upgrade, self._ground))
        return {each.name: each for each in pylock.decode(self.file.read_text()).distributions}


@pytest.fixture
def shelf(tmp_path: Path, write_wheel: WriteWheel) -> Iterator[Shelf]:
    with closing(LocalStore(tmp_path / "store")) as store:
        yield Shelf(tmp_path, write_wheel, store)


def versions(found: Mapping[str, Distribution]) -> dict[str, str]:
    return {name: each.version for name, each in found.items()}


def test_what_is_needed_comes_with_its_conditions(shelf: Shelf) -> None:
    shelf.put(
        "top", "1.0", "Requires-Dist: plain", "Requires-Dist: windows ; sys_platform == 'win32'",
        "Provides-Extra: more", "Requires-Dist: added ; extra == 'more'",
    )  # fmt: skip
    for name in ("plain", "windows", "added"):
        shelf.put(name, "2.0")

    found = shelf.lock("top[more]\n")

    assert found["top"].requires == ("plain", "windows ; sys_platform == 'win32'")
    assert found["top"].extras == {"more": ("added",)}
    assert found["windows"].marker == 'sys_platform == "win32"'
    assert found["added"].marker == ""
    path = shelf.folder / "top-1.0-py3-none-any.whl"
    assert found["top"].wheels[0].place == path.as_uri()


def test_versions_stay_until_they_are_to_be_upgraded(shelf: Shelf) -> None:
    for name in ("one", "two"):
        shelf.put(name, "1.0")
    shelf.lock("one\ntwo\n")
    for name in ("one", "two"):
        shelf.put(name, "1.1")

    assert versions(shelf.lock("one\ntwo\n")) == {"one": "1.0", "two": "1.0"}
    assert versions(shelf.lock("one\ntwo\n", Upgrade(names=("two",)))) == {
        "one": "1.0",
        "two": "1.1",
    }
    assert versions(shelf.lock("one\ntwo\n", Upgrade(True))) == {"one": "1.1", "two": "1.1"}
    assert versions(shelf.lock("one<1.1\ntwo\n")) == {"one": "1.0", "two": "1.1"}


def test_the_same_is_locked_to_the_same_text(shelf: Shelf) -> None:
    shelf.put("one", "1.0", "Requires-Dist: two")
    shelf.put("two", "1.0")
    shelf.lock("one\n")
    before = shelf.file.read_text()

    shelf.lock("one\n")
    again = shelf.file.read_text()
    shelf.file.unlink()
    shelf.lock("one\n")

    assert before == again == shelf.file.read_text()


def test_a_platform_leaves_out_what_is_for_others(shelf: Shelf) -> None:
    shelf.put("one", "1.0", "Requires-Dist: windows ; sys_platform == 'win32'")
    shelf.put("windows", "1.0")

    assert set(shelf.lock("one\n")) == {"one", "windows"}
    shelf.file.unlink()
    assert set(shelf.lock("one\n", platforms=("linux_x86_64",))) == {"one"}


def test_what_an_sdist_is_built_with_is_locked_too(shelf: Shelf) -> None:
    shelf.put_sdist("old", "1.0", "[\"Some_Tool>=1 ; python_version > '3'\"]")
    shelf.put("some-tool", "1.5", "Requires-Dist: deeper")
    shelf.put("deeper", "1.0")

    found = shelf.lock("old\n")

    assert found["old"].builds_with == ('some-tool ; python_version > "3"',)
    assert set(found) == {"old", "some-tool", "deeper"}
    assert isinstance(found["old"].sdist, Archive)


def test_a_wheel_in_the_workspace_is_named_from_the_lock(shelf: Shelf) -> None:
    path = shelf.put("mine", "1.0")
    path = path.rename(shelf.root / path.name)

    (wheel,) = shelf.lock(f"./{path.name}\n")["mine"].wheels

    assert (wheel.place, wheel.local) == (path.name, True)


def test_so_is_an_sdist_whose_tools_are_locked(shelf: Shelf) -> None:
    shelf.put_sdist("old", "1.0", '["tool"]')
    shelf.put("tool", "1.0")
    (shelf.folder / "old-1.0.tar.gz").rename(shelf.root / "old-1.0.tar.gz")

    found = shelf.lock("./old-1.0.tar.gz\n")["old"]

    assert found.sdist is not None
    assert (found.sdist.place, found.builds_with) == ("old-1.0.tar.gz", ("tool",))


def test_of_several_pythons_each_may_have_its_version(shelf: Shelf) -> None:
    shelf.put("one", "1.0", "Requires-Python: >=3.9")
    shelf.put("one", "2.0", "Requires-Python: >=3.12")
    shelf.put("user", "1.0", "Requires-Dist: one")

    shelf.lock("user\n", python_version=">=3.11")

    lock = pylock.decode(shelf.file.read_text())
    ones = {each.version: each for each in lock.distributions if each.name == "one"}
    assert set(ones) == {"1.0", "2.0"}
    assert "3.12" in ones["2.0"].marker
    (user,) = (each for each in lock.distributions if each.name == "user")
    assert sorted(text.partition(" ;")[0] for text in user.requires) == ["one==1.0", "one==2.0"]


def test_what_does_not_fit_is_told_in_the_words_of_uv(shelf: Shelf) -> None:
    shelf.put("one", "1.0")

    with pytest.raises(UserError) as caught:
        shelf.lock("one>2\n")

    assert "uv cannot resolve the requirements" in caught.value.message
    assert "one>2" in caught.value.message
    assert "lamina-lock" not in caught.value.message


def test_a_lock_that_cannot_be_read_is_named(shelf: Shelf) -> None:
    shelf.put("one", "1.0")
    shelf.file.write_text("x")

    with pytest.raises(UserError) as caught:
        shelf.lock("one\n")

    assert caught.value.message.startswith(f"`{shelf.file}`: not TOML")


def test_uv_that_is_missing_is_told_of(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "find", lambda _tool: None)
    monkeypatch.setattr(process, "beside_python", lambda _tool: None)

    with pytest.raises(HostError) as caught:
        shelf.lock("one\n")

    assert "lamina[lock]" in (caught.value.hint or "")
