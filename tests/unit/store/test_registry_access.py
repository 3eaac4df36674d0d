"""Registries that want to know who asks, and that have certificates: real ones."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from lamina.core.digest import Digest
from lamina.core.errors import HostError, LaminaError, ServiceError
from lamina.core.reference import Reference, parse
from lamina.formats import oci
from lamina.store import credentials, transport
from lamina.store.credentials import Credentials
from lamina.store.local import LocalStore
from lamina.store.registry import RegistryRepository
from lamina.store.repository import Manifest, Refused
from lamina.store.transport import Access, Transport
from tests import faults, servers
from tests.servers import PASSWORD, USER, Registry, Tls, TokenServer

DATA = b"some blob" * 1000
BLOB = Digest.of(DATA)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any login; pauses as always, but shorter."""
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(transport, "_PAUSES", (0.01,) * 6)
    return tmp_path


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return servers.make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with servers.registry(tmp_path_factory.mktemp("users"), users=True) as running:
        yield running


@pytest.fixture(scope="module")
def with_tls(tmp_path_factory: pytest.TempPathFactory, tls: Tls) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("tls-users")
    with servers.registry(folder, tls=tls, users=True) as running:
        yield running


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    with servers.token_server(tmp_path / "tokens") as server:
        yield server


@pytest.fixture
def with_tokens(tmp_path: Path, tokens: TokenServer) -> Iterator[Registry]:
    with servers.registry(tmp_path / "registry", tokens=tokens) as running:
        yield running


def opened(host: str, access: Access | None = None) -> RegistryRepository:
    return RegistryRepository(parse(f"{host}/team/train"), access or Access())


def push(repository: RegistryRepository) -> Manifest:
    config = b"{}"
    repository.push(Digest.of(config), config)
    repository.push(BLOB, DATA)
    entry = {"mediaType": "text/plain", "digest": Digest.of(config).oci, "size": len(config)}
    document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": entry, "layers": []}
    found = Manifest(json.dumps(document).encode(), oci.MANIFEST)
    repository.put_manifest(found, "v1")
    return found


def test_with_a_login_it_is_used(with_users: Registry) -> None:
    credentials.keep(with_users.host, Credentials(USER, PASSWORD))
    repository = opened(with_users.host)

    found = push(repository)

    assert repository.manifest("v1") == found
    assert repository.missing([BLOB]) == set()


@pytest.mark.parametrize("known", [None, Credentials(USER, "wrong"), Credentials("nobody", "x")])
def test_without_the_right_login_the_way_to_it_is_told(
    with_users: Registry, known: Credentials | None
) -> None:
    if known is not None:
        credentials.keep(with_users.host, known)

    with pytest.raises(Refused, match="401") as caught:
        opened(with_users.host).manifest("v1")

    assert caught.value.hint == f"`lamina login {with_users.host}`"


def test_a_wrong_password_is_not_tried_again(with_users: Registry) -> None:
    with faults.proxy(with_users.host) as between:
        credentials.keep(between.host, Credentials(USER, "wrong"))
        with pytest.raises(Refused):
            opened(between.host).manifest("v1")

        assert len(between.asked) == 2  # without a login, and with it


def test_a_login_is_told_with_every_request_after_the_first(with_users: Registry) -> None:
    with faults.proxy(with_users.host) as between:
        credentials.keep(between.host, Credentials(USER, PASSWORD))
        push(opened(between.host))

        refused = [each for each in between.asked if each.status == 401]
        assert len(refused) == 1


def test_a_login_goes_to_no_other_host(with_users: Registry, store: LocalStore) -> None:
    with faults.proxy(with_users.host) as between, faults.proxy(with_users.host) as elsewhere:
        credentials.keep(between.host, Credentials(USER, PASSWORD))
        repository = opened(between.host)
        push(repository)
        path = f"/v2/team/train/blobs/{BLOB.oci}"
        for address in (elsewhere.host, elsewhere.host.replace("127.0.0.1", "localhost")):
            said = faults.say(307, Location=f"http://{address}{path}")
            between.spoil(said, method="GET")
            with store.incoming() as incoming, pytest.raises(LaminaError):
                repository.fetch(BLOB, incoming)

        assert len(elsewhere.asked) == 2
        assert all("authorization" not in each.headers for each in elsewhere.asked)
        # The other one's wish to know who asks was not met either, by whatever way.
        assert all(each.status == 401 for each in elsewhere.asked)


def test_a_place_for_uploads_elsewhere_is_told_no_login(with_users: Registry) -> None:
    with faults.proxy(with_users.host) as between, faults.proxy(with_users.host) as elsewhere:
        credentials.keep(between.host, Credentials(USER, PASSWORD))
        repository = opened(between.host)
        push(repository)
        address = f"http://{elsewhere.host}/v2/team/train/blobs/uploads/1"
        between.spoil(faults.say(202, Location=address), method="POST", times=10)

        with pytest.raises(LaminaError):
            repository.push(Digest.of(b"new"), b"new")

        assert elsewhere.asked
        assert all("authorization" not in each.headers for each in elsewhere.asked)


def test_another_hosts_server_for_tokens_gets_no_login(with_users: Registry) -> None:
    """The registry sends us to another host, which names a server of its own for tokens."""
    with (
        faults.proxy(with_users.host) as between,
        faults.proxy(with_users.host) as elsewhere,
        faults.proxy(with_users.host) as thief,
    ):
        credentials.keep(between.host, Credentials(USER, PASSWORD))
        between.spoil(faults.say(307, Location=f"http://{elsewhere.host}/x"), method="GET")
        challenge = f'Bearer realm="http://{thief.host}/token",service="x"'
        elsewhere.spoil(faults.say(401, WWW_Authenticate=challenge), times=100)

        with pytest.raises(Refused):
            opened(between.host).manifest("v1")

        assert elsewhere.asked and not thief.asked


def test_tokens_are_asked_for_with_the_login_and_kept(
    with_tokens: Registry, tokens: TokenServer
) -> None:
    credentials.keep(with_tokens.host, Credentials(USER, PASSWORD))
    repository = opened(with_tokens.host)

    found = push(repository)
    assert repository.manifest("v1") == found
    assert repository.missing([BLOB, Digest.of(b"absent")]) == {Digest.of(b"absent")}
    assert repository.tags() == ["v1"]

    scopes = [query["scope"] for query, _ in tokens.asked]
    assert scopes == [["repository:team/train:pull,push"], ["repository:team/train:pull"]]
    basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert {said for _, said in tokens.asked} == {basic}


def test_anybody_may_have_a_token_where_the_server_gives_one(
    with_tokens: Registry, tokens: TokenServer
) -> None:
    credentials.keep(with_tokens.host, Credentials(USER, PASSWORD))
    found = push(opened(with_tokens.host))
    credentials.forget(with_tokens.host)
    nobody = opened(with_tokens.host)

    assert nobody.manifest("v1") == found
    with pytest.raises(Refused):
        nobody.push(Digest.of(b"new"), b"new")
    assert tokens.asked[-1][1] == ""


def test_many_threads_ask_for_one_token(with_tokens: Registry, tokens: TokenServer) -> None:
    credentials.keep(with_tokens.host, Credentials(USER, PASSWORD))
    push(opened(with_tokens.host))
    tokens.asked.clear()

    absent = {Digest.of(b"%d" % number) for number in range(50)}
    assert opened(with_tokens.host).missing(absent) == absent

    assert len(tokens.asked) == 1


def test_a_token_that_has_ended_is_replaced(with_tokens: Registry, tokens: TokenServer) -> None:
    credentials.keep(with_tokens.host, Credentials(USER, PASSWORD))
    tokens.lifetime = -30  # over for us when it comes, and not yet for the registry
    repository = opened(with_tokens.host)

    found = push(repository)

    assert repository.manifest("v1") == found
    assert len(tokens.asked) > 4


def test_a_registry_that_ends_a_token_early_gets_another(
    with_tokens: Registry, tokens: TokenServer
) -> None:
    with faults.proxy(with_tokens.host) as between:
        credentials.keep(between.host, Credentials(USER, PASSWORD))
        repository = opened(between.host)
        found = push(repository)
        assert repository.manifest("v1") == found
        before = len(tokens.asked)
        challenge = (
            f'Bearer realm="{tokens.settings["realm"]}",service="{tokens.settings["service"]}"'
        )
        between.spoil(faults.say(401, WWW_Authenticate=challenge), method="GET")

        assert repository.manifest("v1") == found
        assert len(tokens.asked) == before + 1


def test_a_wrong_login_at_the_server_for_tokens_is_refused(with_tokens: Registry) -> None:
    credentials.keep(with_tokens.host, Credentials(USER, "wrong"))

    with pytest.raises(Refused, match="no token") as caught:
        opened(with_tokens.host).manifest("v1")

    assert caught.value.hint == f"`lamina login {with_tokens.host}`"


def test_an_identity_token_is_given_for_others() -> None:
    forms: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            forms.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._say(200, b'{"access_token": "one"}')

        def do_GET(self) -> None:
            if self.headers.get("Authorization") == "Bearer one":
                self._say(200, b'{"tags": ["v1"]}')
                return
            host = self.headers["Host"]
            self._say(401, b"", f'Bearer realm="http://{host}/token",service=plain')

        def _say(self, status: int, data: bytes, challenge: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if challenge:
                self.send_header("WWW-Authenticate", challenge)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments: object) -> None:
            """Nothing is printed."""

    with servers.serving(Handler) as host:
        credentials_file = Path.home() / ".docker/config.json"
        credentials_file.parent.mkdir()
        credentials_file.write_text(json.dumps({"auths": {host: {"identitytoken": "long life"}}}))

        assert opened(host).tags() == ["v1"]

    assert len(forms) == 1
    assert "grant_type=refresh_token" in forms[0] and "refresh_token=long+life" in forms[0]
    assert "service=plain" in forms[0]


@pytest.mark.parametrize(
    "challenge",
    [
        "Bearer",
        'Bearer realm="file:///etc/passwd"',
        'Bearer realm="http://"',
        'Bearer realm="nonsense',
        'Bearer realm="http://127.0.0.1@tokens.example/"',
        'Bearer realm="http://[::1/"',
        "Negotiate",
        "",
    ],
)
def test_a_wish_that_nobody_can_meet_is_told(with_users: Registry, challenge: str) -> None:
    with faults.proxy(with_users.host) as between:
        between.spoil(faults.say(401, WWW_Authenticate=challenge), times=100)

        with pytest.raises(ServiceError):
            opened(between.host).manifest("v1")
        assert len(between.asked) <= 2


@pytest.mark.parametrize("body", [b"", b"[]", b'{"token": 7}', b'{"token": "a\\nb"}', b"[" * 99999])
def test_a_token_that_is_none_is_told(
    with_users: Registry, with_tokens: Registry, body: bytes
) -> None:
    with faults.proxy(with_users.host) as between, faults.proxy(with_users.host) as giver:
        challenge = f'Bearer realm="http://{giver.host}/token",service="x"'
        between.spoil(faults.say(401, WWW_Authenticate=challenge), times=100)
        giver.spoil(faults.say(200, body), times=100)

        with pytest.raises(ServiceError, match="nonsense"):
            opened(between.host).manifest("v1")


def test_a_token_without_an_end_is_cut_off(with_users: Registry) -> None:
    with faults.proxy(with_users.host) as between, faults.proxy(with_users.host) as giver:
        challenge = f'Bearer realm="http://{giver.host}/token",service="x"'
        between.spoil(faults.say(401, WWW_Authenticate=challenge), times=100)
        giver.spoil(faults.endless(giver), times=100)

        with pytest.raises(LaminaError):
            opened(between.host).manifest("v1")
        assert sum(each.sent for each in giver.asked) < 64 << 20


def test_a_password_goes_to_a_server_for_tokens_elsewhere_only_by_tls() -> None:
    """A name that is not this machine's is not even asked for with the password."""
    asked: list[tuple[str, str]] = []

    def ask(method: str, url: str, headers: object, content: object) -> object:
        asked.append((url, str(headers)))
        raise Refused("no")

    from lamina.store.authentication import Authentication

    for realm, told in (
        ("http://tokens.example/t", False),
        ("http://registry.example/t", False),
        ("http://127.example/t", False),
        ("http://localhost.example/t", False),
        ("https://tokens.example/t", True),
        ("http://127.0.0.1:9/t", True),
    ):
        who = Authentication("registry.example", ask, Credentials(USER, PASSWORD))  # type: ignore[arg-type]
        assert who.learn([f'Bearer realm="{realm}"'], "", "")
        with pytest.raises(Refused):
            who.header("")
        assert ("Basic" in asked[-1][1]) is told, realm


def test_an_authority_of_our_own_is_trusted_when_named(with_tls: Registry, tls: Tls) -> None:
    credentials.keep(with_tls.host, Credentials(USER, PASSWORD))
    repository = opened(with_tls.host, Access(ca=tls.ca))

    found = push(repository)

    assert repository.manifest("v1") == found


def test_an_authority_by_the_usual_variable_is_trusted(
    with_tls: Registry, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the registry has TLS is seen by its answer, as it is on this machine."""
    credentials.keep(with_tls.host, Credentials(USER, PASSWORD))
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))

    assert len(opened(with_tls.host).missing(Digest.of(b"%d" % n) for n in range(40))) == 40
    push(opened(with_tls.host))


def test_an_authority_in_the_folder_of_docker_is_trusted(
    with_tls: Registry, tls: Tls, home: Path
) -> None:
    credentials.keep(with_tls.host, Credentials(USER, PASSWORD))
    folder = home / "config/docker/certs.d" / with_tls.host
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(tls.ca.read_bytes())

    push(opened(with_tls.host))


def test_a_certificate_of_our_own_is_shown_to_the_registry(
    tls: Tls, tmp_path: Path, home: Path
) -> None:
    with servers.registry(tmp_path / "registry", tls=tls, clients=True) as running:
        with pytest.raises(LaminaError):
            opened(running.host, Access(ca=tls.ca)).manifest("v1")

        folder = home / "config/docker/certs.d" / running.host
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes(tls.ca.read_bytes())
        (folder / "client.cert").write_bytes(tls.client.read_bytes())
        (folder / "client.key").write_bytes(tls.client_key.read_bytes())

        push(opened(running.host))


def test_an_unknown_authority_is_not_trusted_and_told_nothing(with_tls: Registry) -> None:
    credentials.keep(with_tls.host, Credentials(USER, PASSWORD))

    with pytest.raises(HostError, match="not trusted") as caught:
        opened(with_tls.host).manifest("v1")

    assert "--ca" in str(caught.value.hint)


def test_certificates_that_are_none_are_told(with_tls: Registry, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("nothing")

    with pytest.raises(HostError, match=str(tmp_path)):
        opened(with_tls.host, Access(ca=tmp_path / "ca.crt")).manifest("v1")


def test_a_registry_without_tls_is_told_from_one_with(with_users: Registry, tls: Tls) -> None:
    with pytest.raises(HostError, match="no TLS") as caught:
        opened(with_users.host, Access(ca=tls.ca)).manifest("v1")

    assert "--plain-http" in str(caught.value.hint)


def test_nothing_goes_from_tls_to_plain_http(with_tls: Registry, tls: Tls) -> None:
    """A server of our own with the certificate sends us to one without."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(307)
            self.send_header("Location", f"http://{self.headers['Host']}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Nothing is printed."""

    server = servers.Quick(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        with pytest.raises(ServiceError, match="without TLS"):
            opened(f"127.0.0.1:{server.server_port}", Access(ca=tls.ca)).manifest("v1")
    finally:
        server.shutdown()
        server.server_close()
    assert len(asked) == 1


def test_a_proxy_is_used_and_hosts_that_need_none_are_not(
    with_users: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faults.proxy(with_users.host) as between:
        monkeypatch.setenv("http_proxy", f"http://{between.host}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        far = RegistryRepository(parse("registry.example/a"), Access(plain_http=True))
        with pytest.raises(Refused):
            far.manifest("v1")
        assert between.asked[0].path.startswith("http://registry.example/v2/a/")

        monkeypatch.setenv("no_proxy", "127.0.0.1")
        before = len(between.asked)
        with pytest.raises(Refused):
            opened(with_users.host).manifest("v1")
        assert len(between.asked) == before


def test_a_login_is_tried(with_users: Registry, with_tokens: Registry) -> None:
    for host in (with_users.host, with_tokens.host):
        for secret in (PASSWORD, "wrong"):
            tried = Transport(Reference(host, ""), Access(), Credentials(USER, secret))
            if secret == PASSWORD:
                assert tried.log_in()
            else:
                with pytest.raises(Refused):
                    tried.log_in()
            tried.close()
