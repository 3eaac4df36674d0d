"""Logins as Docker and podman keep them: files, helpers, and what is wrong with them."""

from __future__ import annotations

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lamina.core.errors import HostError, UserError
from lamina.store import credentials
from lamina.store.credentials import Credentials

HOST = "registry.example:5000"
MIRA = Credentials("mira", "open:sesame")

# Keeps logins in a folder, one file for each registry, by the protocol of Docker's helpers.
_HELPER = """#!/bin/sh
cd "$(dirname "$0")" && mkdir -p kept
case "$1" in
get) read -r host; name=$(echo "$host" | tr -c 'a-z0-9\\n' -)
     [ -e "kept/$name" ] || { echo "credentials not found in native keychain"; exit 1; }
     cat "kept/$name" ;;
erase) read -r host; rm "kept/$(echo "$host" | tr -c 'a-z0-9\\n' -)" ;;
store) cat >kept/new; host=$(sed 's/.*"ServerURL": "\\([^"]*\\)".*/\\1/' kept/new)
       mv kept/new "kept/$(echo "$host" | tr -c 'a-z0-9\\n' -)" ;;
esac
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's file, in a home of the test's own."""
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".docker" / "config.json"


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "docker-credential-tests"
    program.write_text(_HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return program


def write(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def encoded(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def test_without_any_file_nothing_is_known() -> None:
    assert credentials.find(HOST) is None
    assert not credentials.forget(HOST)


def test_what_is_kept_is_found_and_can_be_forgotten(config: Path) -> None:
    assert credentials.keep(HOST, MIRA) == str(config)
    assert credentials.find(HOST) == MIRA
    assert credentials.find("registry.example") is None

    assert credentials.forget(HOST)
    assert credentials.find(HOST) is None
    assert not credentials.forget(HOST)


def test_the_file_is_for_its_owner_alone_and_nothing_else_in_it_changes(config: Path) -> None:
    write(config, {"auths": {"other.example": encoded("a:b")}, "detachKeys": "ctrl-x", "x": [1]})

    credentials.keep(HOST, MIRA)

    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    document = json.loads(config.read_text())
    assert document["detachKeys"] == "ctrl-x" and document["x"] == [1]
    assert document["auths"] == {"other.example": encoded("a:b"), HOST: encoded("mira:open:sesame")}
    assert list(config.parent.iterdir()) == [config]


def test_a_file_that_is_a_link_stays_one(config: Path, tmp_path: Path) -> None:
    write(tmp_path / "dotfiles/docker.json", {})
    config.parent.mkdir()
    config.symlink_to(tmp_path / "dotfiles/docker.json")

    credentials.keep(HOST, MIRA)

    assert config.is_symlink()
    assert HOST in (tmp_path / "dotfiles/docker.json").read_text()


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"https://{HOST}/v1/", f"{HOST}/v2/"])
def test_entries_may_be_whole_addresses(config: Path, key: str) -> None:
    write(config, {"auths": {key: encoded("mira:open:sesame")}})

    assert credentials.find(HOST) == MIRA


def test_an_entry_for_a_part_of_a_registry_is_not_for_all_of_it(config: Path) -> None:
    write(config, {"auths": {f"{HOST}/team": encoded("a:b")}})

    assert credentials.find(HOST) is None


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"identitytoken": "t0ken"}, Credentials("", "t0ken")),
        ({"username": "mira", "password": "x"}, Credentials("mira", "x")),
        ({}, None),
        ({"auth": ""}, None),
        (encoded("mira"), None),
    ],
)
def test_forms_of_entries(config: Path, entry: dict[str, str], found: Credentials | None) -> None:
    write(config, {"auths": {HOST: entry}})

    assert credentials.find(HOST) == found


def test_the_hub_has_one_login_under_all_its_names(config: Path) -> None:
    credentials.keep("docker.io", MIRA)

    assert list(json.loads(config.read_text())["auths"]) == ["https://index.docker.io/v1/"]
    assert credentials.find("index.docker.io") == MIRA


def test_the_files_of_podman_are_read_after_that_of_docker(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / ".config/containers/auth.json", {"auths": {HOST: encoded("home:1")}})
    assert credentials.find(HOST) == Credentials("home", "1")

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    write(tmp_path / "run/containers/auth.json", {"auths": {HOST: encoded("session:2")}})
    assert credentials.find(HOST) == Credentials("session", "2")

    write(config, {"auths": {HOST: encoded("docker:3")}})
    assert credentials.find(HOST) == Credentials("docker", "3")

    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "only.json"))
    assert credentials.find(HOST) is None
    credentials.keep(HOST, MIRA)
    assert credentials.find(HOST) == MIRA


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": []}', "\0", "[" * 100_000])
def test_a_malformed_file_is_named(config: Path, text: str) -> None:
    config.parent.mkdir()
    config.write_text(text)

    with pytest.raises(UserError, match=str(config)):
        credentials.find(HOST)
    with pytest.raises(UserError, match=str(config)):
        credentials.keep(HOST, MIRA)
    assert config.read_text() == text


def test_a_malformed_login_is_named_and_not_shown(config: Path) -> None:
    write(config, {"auths": {HOST: {"auth": "s3cret!"}}})

    with pytest.raises(UserError, match=HOST) as caught:
        credentials.find(HOST)
    assert "s3cret" not in str(caught.value)


def test_a_secret_is_not_shown() -> None:
    assert "sesame" not in repr(MIRA)


@pytest.mark.parametrize("settings", [{"credsStore": "tests"}, {"credHelpers": {HOST: "tests"}}])
def test_a_helper_keeps_logins(config: Path, helper: Path, settings: dict[str, object]) -> None:
    write(config, settings)

    assert credentials.find(HOST) is None
    assert credentials.keep(HOST, MIRA) == "docker-credential-tests"
    assert credentials.find(HOST) == MIRA
    assert json.loads(config.read_text()) == settings

    assert credentials.forget(HOST)
    assert credentials.find(HOST) is None
    assert not credentials.forget(HOST)


def test_a_helper_may_know_a_token(config: Path, helper: Path) -> None:
    write(config, {"credsStore": "tests"})
    credentials.keep(HOST, Credentials("", "t0ken"))

    assert credentials.find(HOST) == Credentials("", "t0ken")


def test_a_helper_of_one_registry_is_not_asked_for_others(config: Path, helper: Path) -> None:
    write(config, {"credHelpers": {"other.example": "none"}, "auths": {HOST: encoded("a:b")}})

    assert credentials.find(HOST) == Credentials("a", "b")


def test_a_helper_that_is_not_there_is_named(config: Path) -> None:
    write(config, {"credsStore": "absent"})

    with pytest.raises(HostError, match="docker-credential-absent"):
        credentials.find(HOST)


@pytest.mark.parametrize("name", ["../../bin/sh", "a/b", 7])
def test_a_helper_is_a_name_alone(config: Path, name: object) -> None:
    write(config, {"credsStore": name})

    with pytest.raises(UserError, match="credential helper"):
        credentials.find(HOST)


@pytest.mark.parametrize("script", ["echo nonsense", "echo {}", "echo locked; exit 3"])
def test_a_helper_that_fails_is_told(config: Path, helper: Path, script: str) -> None:
    helper.write_text(f"#!/bin/sh\n{script}\n")
    write(config, {"credsStore": "tests"})

    with pytest.raises(HostError, match="docker-credential-tests"):
        credentials.find(HOST)


def test_many_logins_at_once_are_all_kept() -> None:
    hosts = [f"host{number}.example" for number in range(30)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda host: credentials.keep(host, MIRA), hosts))

    assert [credentials.find(host) for host in hosts] == [MIRA] * len(hosts)
