"""`lamina tags`, `login` and `logout`, against real registries."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.reference import parse
from lamina.formats import oci
from lamina.store.repositories import open_repository
from lamina.store.repository import Manifest
from lamina.store.transport import Access
from tests import servers
from tests.servers import PASSWORD, USER, Registry
from tests.unit.cli.conftest import Lamina


@pytest.fixture(scope="module")
def with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with servers.registry(tmp_path_factory.mktemp("registry"), users=True) as running:
        yield running


@pytest.fixture
def config(lamina: Lamina, tmp_path: Path) -> Path:
    """Docker's file, in a home of the test's own."""
    lamina.environment["HOME"] = str(tmp_path)
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        lamina.environment.pop(name, None)
    return tmp_path / ".docker/config.json"


def login(
    lamina: Lamina, host: str, password: str, *words: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        lamina.command("login", host, "-u", USER, "--password-stdin", *words),
        cwd=lamina.root,
        env=lamina.environment,
        input=password,
        capture_output=True,
        text=True,
        check=False,
    )


def fill(place: str, *tags: str) -> None:
    opened = open_repository(parse(place), Access())
    opened.push(Digest.of(b"{}"), b"{}")
    entry = {"mediaType": "text/plain", "digest": Digest.of(b"{}").oci, "size": 2}
    document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": entry, "layers": []}
    for tag in tags:
        opened.put_manifest(Manifest(json.dumps(document).encode(), oci.MANIFEST), tag)
    opened.close()


def test_tags_of_a_folder_are_listed(lamina: Lamina, tmp_path: Path) -> None:
    place, beside = f"oci:{tmp_path}/layout", "sha256-" + "0" * 64
    fill(place, "v2", "v1", beside)

    assert lamina("tags", place).stdout.splitlines() == ["v1", "v2"]
    assert lamina("tags", place, "--all").stdout.splitlines() == [beside, "v1", "v2"]
    told = json.loads(lamina("tags", place, "--json").stdout)
    assert told == {"repository": place, "tags": ["v1", "v2"]}


@pytest.mark.parametrize("repository", ["nothing", "oci:a:v1", "host.example/a:v1", "h.example/A"])
def test_what_is_no_repository_has_no_tags(lamina: Lamina, repository: str) -> None:
    done = lamina("tags", repository)

    assert done.returncode == 3
    assert "hint:" in done.stderr


def test_a_folder_that_is_not_there_has_no_tags(lamina: Lamina, tmp_path: Path) -> None:
    done = lamina("tags", f"oci:{tmp_path}/nowhere")

    assert done.returncode == 2
    assert "no OCI image layout" in done.stderr


def test_who_logs_in_may_ask_and_who_logs_out_may_not(
    lamina: Lamina, config: Path, with_users: Registry
) -> None:
    host = with_users.host
    before = lamina("tags", f"{host}/team/train")
    done = login(lamina, host, f"{PASSWORD}\n")
    after = lamina("tags", f"{host}/team/train")

    assert before.returncode == 2 and f"`lamina login {host}`" in before.stderr
    assert done.returncode == 0, done.stderr
    assert str(config) in done.stderr and PASSWORD not in done.stderr + done.stdout
    assert "not known" in after.stderr

    assert "logged out" in lamina("logout", host).stderr
    assert "there is no login" in lamina("logout", host).stderr
    assert "lamina login" in lamina("tags", f"{host}/team/train").stderr


def test_a_wrong_password_is_not_kept(lamina: Lamina, config: Path, with_users: Registry) -> None:
    done = login(lamina, with_users.host, "wrong")

    assert done.returncode == 2
    assert f"does not know `{USER}`" in done.stderr
    assert not config.exists()


def test_a_login_is_told_as_json(lamina: Lamina, config: Path, with_users: Registry) -> None:
    told = json.loads(login(lamina, with_users.host, PASSWORD, "--json").stdout)

    assert told == {
        "host": with_users.host, "username": USER, "kept": str(config), "tried": True
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["login", "https://a.example"], "is no host"),
        (["login", "a.example"], "no terminal"),
        (["login", "a.example", "--password-stdin"], "needs `--username`"),
        (["login", "a.example", "--password-stdin", "-u", "a:b"], "no name of a user"),
        (["login", "a.example", "--password-stdin", "-u", "a"], "password is empty"),
        (["login", "a.example", "--ca", "nowhere"], "no file `nowhere`"),
        (["logout", "a/b"], "is no host"),
    ],
)
def test_what_cannot_be_a_login_is_told(
    lamina: Lamina, config: Path, words: list[str], said: str
) -> None:
    done = lamina(*words)

    assert done.returncode == 3
    assert said in done.stderr


def test_at_a_terminal_user_and_password_are_asked_for(
    lamina: Lamina, config: Path, with_users: Registry
) -> None:
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        lamina.command("login", with_users.host),
        cwd=lamina.root, env=lamina.environment, start_new_session=True,
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = _until(ours, b"user: ")
    os.write(ours, f"{USER}\n".encode())
    shown += _until(ours, b"password: ")
    os.write(ours, f"{PASSWORD}\n".encode())
    shown += _until(ours, b"logged in")

    assert started.wait(30) == 0
    assert PASSWORD.encode() not in shown
    assert json.loads(config.read_text())["auths"].keys() == {with_users.host}
    os.close(ours)


def _until(terminal: int, text: bytes) -> bytes:
    found = b""
    while text not in found:
        assert select.select([terminal], [], [], 30)[0], found
        found += os.read(terminal, 1000)
    return found


def test_ctrl_c_ends_it_though_the_registry_does_not_answer(lamina: Lamina) -> None:
    asked, released = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            released.wait(50)

        def log_message(self, *_arguments: object) -> None:
            """Nothing is printed."""

    with servers.serving(Handler) as host:
        started = lamina.start("tags", f"{host}/a")
        assert asked.wait(30)
        started.send_signal(signal.SIGINT)
        code = started.wait(30)
        is_early = not released.is_set()
        released.set()
        started.communicate()

    assert code == 130
    assert is_early
