"""The API of Kubernetes by its official client: settings, names and keys, connections.

Objects are sent and read as the documents that they are: what `--dry-run` prints is what is sent.
The client is an extra, and takes a second to import: only who asks a cluster does.
https://kubernetes.io/docs/reference/using-api/api-concepts/.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lamina.cluster.kubernetesmanifest import Object, part
from lamina.core.errors import HostError, ServiceError, UserError
from lamina.linux import process

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_T = TypeVar("_T")
_TIMEOUT = (10, 60)  # seconds to connect, and between two parts of an answer
_PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # seconds between two tries
_PAGE = 500  # objects in one answer
_AT_ONCE = 16  # requests
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")  # in a pod


class Gone(ServiceError):
    """What was asked for is not there."""


class Api:
    """One cluster, as settings of kubectl or the pod that this is tell of it."""

    def __init__(self, context: str) -> None:
        self._context = context
        self._has_answered = False

    @cached_property
    def namespace(self) -> str:
        """The usual namespace: of the context, of this pod, else `default`."""
        config = _imported("kubernetes.config")
        with contextlib.suppress(config.ConfigException):
            _, active = config.list_kube_config_contexts(_settings())
            if self._context:
                active = self._named()
            return str(active["context"].get("namespace") or "default")
        return _NAMESPACE.read_text().strip() if _NAMESPACE.is_file() else "default"

    def _named(self) -> Mapping[str, Any]:
        config = _imported("kubernetes.config")
        contexts, _ = config.list_kube_config_contexts(_settings())
        for each in contexts:
            if each["name"] == self._context:
                return dict(each)
        known = ", ".join(f"`{each['name']}`" for each in contexts)
        raise UserError(f"there is no context `{self._context}` of kubectl", hint=f"known: {known}")

    @cached_property
    def _client(self) -> ApiClient:
        config = _imported("kubernetes.config")
        client = _imported("kubernetes.client")
        settings = client.Configuration()
        settings.retries = False  # what is asked again and again is asked by who waits
        try:
            if self._context or not _in_pod():
                if self._context:
                    self._named()
                config.load_kube_config(
                    _settings(),
                    context=self._context or None, client_configuration=settings,
                    persist_config=False,
                )  # fmt: skip
            else:
                config.load_incluster_config(client_configuration=settings)
        except config.ConfigException as error:
            raise UserError(
                f"no cluster of Kubernetes is known here: {error}",
                hint="settings of kubectl, in `$KUBECONFIG` or `~/.kube/config`; "
                "`context` in `[cluster.NAME]` says which of several",
            ) from error
        if not settings.verify_ssl:  # as the settings want it; it would be told at each request
            kind = _imported("urllib3.exceptions").InsecureRequestWarning
            warnings.filterwarnings("ignore", category=kind)
        found: ApiClient = client.ApiClient(settings)
        return found

    def create(self, body: Object) -> Object:
        """Make an object; what it became."""
        namespace = str(part(body, "metadata")["namespace"])
        return self._ask("POST", _path(str(body["kind"]), namespace), body=body)

    def delete_job(self, namespace: str, name: str) -> None:
        """Delete a Job, and first what belongs to it; one that is not there is no error."""
        how: Object = {
            "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground",
        }  # fmt: skip
        with contextlib.suppress(Gone):
            self._ask("DELETE", _path("Job", namespace, name), body=how)

    def jobs(self, namespace: str, selector: str) -> tuple[list[Object], str]:
        """The Jobs with some labels, and the version of what was seen."""
        return self._list(_path("Job", namespace), labelSelector=selector)

    def pods(self, namespace: str, selector: str) -> tuple[list[Object], str]:
        """The pods with some labels, and the version of what was seen."""
        return self._list(_path("Pod", namespace), labelSelector=selector)

    def nodes(self) -> list[Object]:
        """The machines of the cluster."""
        return self._list("/api/v1/nodes")[0]

    def events(self, namespace: str, uid: str) -> list[Object]:
        """What was told of an object; nothing where one may not ask."""
        try:
            return self._list(_path("Event", namespace), fieldSelector=f"involvedObject.uid={uid}")[
                0
            ]
        except ServiceError:
            return []

    def log(self, namespace: str, pod: str, container: str, since: str) -> bytes:
        """What a container printed, each line behind the time at which it did.

        `since` is a time as the API writes it, by whole seconds; empty for all there is.
        """
        words = {"container": container, "timestamps": "true"}
        if since:
            words["sinceTime"] = since
        path = _path("Pod", namespace, pod) + "/log"
        return self._answered("GET", path, words, None, lambda answer: bytes(answer.read()))

    def await_change(
        self, namespace: str, selector: str, version: str, seconds: float, kind: str = "Job"
    ) -> bool:
        """Whether within a time an object with some labels becomes other than in a version."""
        words = {
            "labelSelector": selector, "watch": "true", "resourceVersion": version,
            "timeoutSeconds": str(max(int(seconds), 1)),
        }  # fmt: skip

        def first(answer: Any) -> bool:
            event = next(iter(answer.response.stream()), b"")
            answer.response.close()
            return bool(event) and b'"ERROR"' not in event[:80]

        return self._answered("GET", _path(kind, namespace), words, None, first)

    def all_of(self, work: Callable[[_T], object], things: Sequence[_T]) -> None:
        """Do something to each, several at once; raises what the first that fails raises."""
        if len(things) == 1:
            work(things[0])
            return
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(work, things):
                pass

    def _list(self, path: str, **words: str) -> tuple[list[Object], str]:
        found: list[Object] = []
        words["limit"] = str(_PAGE)
        while True:
            answer = self._ask("GET", path, words)
            found += items(answer, "items")
            metadata = part(answer, "metadata")
            if not (page := metadata.get("continue")):
                return found, str(metadata.get("resourceVersion") or "")
            words["continue"] = str(page)

    def _ask(
        self, method: str, path: str, words: Mapping[str, str] | None = None,
        body: Object | None = None,
    ) -> Object:  # fmt: skip
        data = self._answered(method, path, words or {}, body, lambda answer: bytes(answer.read()))
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ServiceError(f"Kubernetes answered what is no object: {data[:80]!r}")
        return found

    def _answered(
        self,
        method: str,
        path: str,
        words: Mapping[str, str],
        body: Object | None,
        use: Callable[[Any], _T],
    ) -> _T:
        """What an answer is used for; raises ServiceError with what is wrong.

        Who waits for days for a job should not end with the restart of a server. So a cluster that
        has answered before is asked again for a while; one that never did is told of at once.
        """
        pauses = iter(_PAUSES if method == "GET" and self._has_answered else ())
        while True:
            try:
                found = self._answered_now(method, path, words, body, use)
            except ServiceError as error:
                pause = next(pauses, None)
                if pause is None or not error.retryable:
                    raise
                time.sleep(pause)
            else:
                self._has_answered = True
                return found

    def _answered_now(
        self,
        method: str,
        path: str,
        words: Mapping[str, str],
        body: Object | None,
        use: Callable[[Any], _T],
    ) -> _T:
        urllib3 = _imported("urllib3.exceptions")
        rest = _imported("kubernetes.client.exceptions")
        client: Any = self._client
        asked = client.param_serialize(
            method,
            path,
            query_params=list(words.items()),
            header_params={"Accept": "application/json, */*", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = client.call_api(*asked, _request_timeout=_TIMEOUT)
            if not 200 <= answer.status < 300:
                raise _refused(path, answer.status, str(answer.reason), answer.read())
            return use(answer)
        except rest.ApiException as error:
            raise _refused(path, int(error.status or 0), str(error.reason), error.body) from error
        except (urllib3.HTTPError, OSError) as error:
            raise ServiceError(
                f"Kubernetes at `{client.configuration.host}` does not answer: {_why(error)}",
                hint="`kubectl cluster-info` tells whether it is there",
                retryable=True,
            ) from error


_PLACES = {
    "Job": ("/apis/batch/v1", "jobs"), "Service": ("/api/v1", "services"),
    "Pod": ("/api/v1", "pods"), "Event": ("/api/v1", "events"),
    "ConfigMap": ("/api/v1", "configmaps"),
}  # fmt: skip


def _path(kind: str, namespace: str, name: str = "") -> str:
    from urllib.parse import quote

    group, plural = _PLACES[kind]
    found = f"{group}/namespaces/{quote(namespace, safe='')}/{plural}"
    return f"{found}/{quote(name, safe='')}" if name else found


def _settings() -> str:
    """Where settings of kubectl are; the client would look once, when it is imported."""
    return os.environ.get("KUBECONFIG") or "~/.kube/config"


def _in_pod() -> bool:
    """Whether this runs in a pod, and no settings of kubectl were named."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ


def _imported(name: str) -> Any:
    """A module of the client or of what it brings; raises HostError where it is not there."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise HostError(
            "Python's client of Kubernetes is not installed",
            hint=f"`{process.install('kubernetes')}` brings it",
        ) from error


def yaml_of(documents: Sequence[Object]) -> str:
    """Objects as `kubectl apply -f` takes them."""
    yaml = _imported("yaml")
    return "".join(f"---\n{yaml.safe_dump(each, sort_keys=False)}" for each in documents)


def _hint(status: int, said: str) -> str | None:
    if status == 401:
        return "the settings of kubectl have no good name and key: `kubectl auth whoami`"
    if status != 403:
        return None
    if "quota" in said:
        return "`kubectl describe quota` tells what the namespace may take, and what takes it"
    if " cannot " in said:
        return "ask who runs the cluster for a role that may: `kubectl auth can-i create jobs`"
    return "a rule of the cluster for what runs there, not a role: ask who runs it"


def _refused(path: str, status: int, reason: str, body: object) -> ServiceError:
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        said = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        said = text.strip()[:200] or reason
    kind = Gone if status == 404 else ServiceError
    # Who asks for a log is answered so for a kubelet that is away, perhaps for ever.
    by_kubelet = status == 500 and path.endswith("/log")
    return kind(
        f"Kubernetes: {said or status}",
        hint=_hint(status, said),
        retryable=status == 429 or (status >= 500 and not by_kubelet),
    )


def _why(error: BaseException) -> str:
    """The innermost of what went wrong, which says it shortest."""
    reason = getattr(error, "reason", None)
    while isinstance(reason, BaseException):
        error, reason = reason, getattr(reason, "reason", None)
    return str(error).rpartition(": ")[2] or type(error).__name__


def items(found: Mapping[str, object], *names: str) -> Iterator[Object]:
    """The objects in a list inside of an object."""
    inner = part(found, *names[:-1]).get(names[-1])
    for each in inner if isinstance(inner, list) else []:
        if isinstance(each, dict):
            yield each


def quantity(text: object) -> int:
    """A number as the API writes it, `3920m`, `16Gi`; a part of one is left out."""
    return int(_imported("kubernetes.utils.quantity").parse_quantity(text or 0))
