"""A small server that speaks the part of Kubernetes' API that lamina uses, on loopback.

Its meaning is that of https://kubernetes.io/docs/reference/using-api/api-concepts/: versions of
objects, watches, pages, subresources, finalizers, and `Status` for what goes wrong. Nothing acts in
it: what controllers and kubelets do, `kubernetes.Lab` does through the same API. Where a real
`kube-apiserver` is at hand, the same tests run against that.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import ssl
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.servers import serving

Object = dict[str, Any]

TOKEN, WITHOUT_RIGHTS = "open-sesame", "shut-sesame"
_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[a-z.]+))/v1(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>status|log))?"
)
_KINDS = {
    "jobs": "Job", "pods": "Pod", "services": "Service", "events": "Event", "nodes": "Node",
    "configmaps": "ConfigMap",
}  # fmt: skip
_VERBS = {"GET": "get", "POST": "create", "DELETE": "delete", "PATCH": "patch"}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_SERVICE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")  # until 1.34
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


class Refused(Exception):
    """An answer that is a `Status`."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        }  # fmt: skip


@dataclass
class Kept:
    """All objects, and what happened to them."""

    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    events: list[tuple[int, str, str, Object]] = field(default_factory=list)
    version: int = 1000
    oldest: int = 1000  # from which changes are still known
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    broken: int = 0  # so many further requests fail
    namespaces: set[str] = field(default_factory=lambda: {"default", "team"})
    requests: list[str] = field(default_factory=list)
    bodies: list[Object] = field(default_factory=list)  # of what was made
    changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, plural: str, found: Object, event: str) -> None:
        """Keep an object, or note that it has gone."""
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        metadata = found["metadata"]
        key = (plural, metadata.get("namespace", ""), metadata["name"])
        if event == "DELETED":
            self.objects.pop(key, None)
        else:
            self.objects[key] = found
        self.events.append((self.version, event, plural, copy.deepcopy(found)))
        self.changed.notify_all()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    kept: Kept

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_DELETE = do_PATCH = do_GET  # noqa: N815 - so they are called there

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def _handle(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else {}
        address = urlsplit(self.path)
        words = dict(parse_qsl(address.query))
        self.kept.requests.append(f"{self.command} {self.path}")
        try:
            where = _PATH.fullmatch(address.path)
            if self.kept.broken:
                self.kept.broken -= 1
                raise Refused(503, "ServiceUnavailable", "apiserver is shutting down")
            token = str(self.headers.get("Authorization")).removeprefix("Bearer ")
            if token not in (TOKEN, WITHOUT_RIGHTS):
                raise Refused(401, "Unauthorized", "Unauthorized")
            if where is None or where["plural"] not in _KINDS:
                raise Refused(404, "NotFound", "the server could not find the requested resource")
            if token == WITHOUT_RIGHTS or (self.command, where["plural"]) in self.kept.forbidden:
                raise self._forbidden(where["plural"], where["namespace"] or "")
            self._answer(where, words, body)
        except Refused as refused:
            self._send(refused.code, refused.status)

    def _forbidden(self, plural: str, namespace: str) -> Refused:
        verb = _VERBS[self.command]
        group = "batch" if plural == "jobs" else ""
        return Refused(
            403, "Forbidden",
            f'{plural}{"." if group else ""}{group} is forbidden: User "mira" cannot {verb} '
            f'resource "{plural}" in API group "{group}" in the namespace "{namespace}"',
        )  # fmt: skip

    def _answer(self, where: re.Match[str], words: dict[str, str], body: Object) -> None:
        plural, namespace, name = where["plural"], where["namespace"] or "", where["name"]
        if self.command == "GET" and words.get("watch") == "true":
            self._watch(plural, namespace, words)
            return
        if where["sub"] == "log":
            self._log(self._one(plural, namespace, name), words)
            return
        with self.kept.changed:
            if self.command == "POST":
                self._send(201, self._create(plural, namespace, body))
            elif self.command == "PATCH":
                self._send(200, self._patch(plural, self._one(plural, namespace, name), body))
            elif self.command == "DELETE":
                self._send(200, self._delete(plural, self._one(plural, namespace, name), body))
            elif name:
                self._send(200, self._one(plural, namespace, name))
            else:
                self._send(200, self._list(plural, namespace, words))

    def _one(self, plural: str, namespace: str, name: str) -> Object:
        found = self.kept.objects.get((plural, namespace, name))
        if found is None:
            kind = "jobs.batch" if plural == "jobs" else plural
            raise Refused(404, "NotFound", f'{kind} "{name}" not found')
        return found

    def _create(self, plural: str, namespace: str, body: Object) -> Object:
        self.kept.bodies.append(copy.deepcopy(body))
        metadata = body["metadata"]
        name = metadata["name"]
        if body.get("kind") != _KINDS[plural]:
            raise Refused(400, "BadRequest", f"{body.get('kind')} in the place of {plural}")
        if metadata.get("namespace", "") != namespace:
            raise Refused(
                400, "BadRequest", "the namespace of the provided object does not match the "
                f"namespace sent on the request ({metadata.get('namespace')} vs {namespace})",
            )  # fmt: skip
        if namespace and namespace not in self.kept.namespaces:
            raise Refused(404, "NotFound", f'namespaces "{namespace}" not found')
        pattern = _SERVICE_NAME if plural == "services" else _NAME
        labels = [*metadata.get("labels", {}).values()]
        if not pattern.fullmatch(name) or not all(_LABEL.fullmatch(each) for each in labels):
            raise Refused(422, "Invalid", f'{body["kind"]} "{name}" is invalid')
        if (plural, namespace, name) in self.kept.objects:
            raise Refused(409, "AlreadyExists", f'{plural} "{name}" already exists')
        made = copy.deepcopy(body)
        made["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
        made.setdefault("status", {})
        self.kept.put(plural, made, "ADDED")
        return made

    def _patch(self, plural: str, found: Object, body: Object) -> Object:
        changed: Object = merged(found, body)
        metadata = changed["metadata"]
        over = metadata.get("deletionTimestamp") and not metadata.get("finalizers")
        self.kept.put(plural, changed, "DELETED" if over else "MODIFIED")
        return changed

    def _delete(self, plural: str, found: Object, body: Object) -> Object:
        if body.get("propagationPolicy") == "Foreground":
            mark = {"deletionTimestamp": now(), "finalizers": ["foregroundDeletion"]}
            return self._patch(plural, found, {"metadata": mark})
        self.kept.put(plural, copy.deepcopy(found), "DELETED")
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}

    def _list(self, plural: str, namespace: str, words: dict[str, str]) -> Object:
        found = [
            each
            for (kind, place, _), each in sorted(self.kept.objects.items())
            if kind == plural and place == namespace and selected(each, words)
        ]
        begin = int(words.get("continue") or 0)
        end = begin + int(words.get("limit") or len(found) or 1)
        metadata: Object = {"resourceVersion": str(self.kept.version)}
        if end < len(found):
            metadata["continue"] = str(end)
        group = "batch/v1" if plural == "jobs" else "v1"
        kind = f"{_KINDS[plural]}List"
        return {
            "kind": kind, "apiVersion": group, "metadata": metadata, "items": found[begin:end]
        }  # fmt: skip

    def _watch(self, plural: str, namespace: str, words: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        seen = int(words.get("resourceVersion") or self.kept.version)
        until = time.monotonic() + int(words.get("timeoutSeconds") or 60)
        if seen < self.kept.oldest:
            gone = Refused(410, "Expired", f"too old resource version: {seen}")
            self._chunk({"type": "ERROR", "object": gone.status})
            until = 0.0
        while (left := until - time.monotonic()) > 0:
            with self.kept.changed:
                events = [
                    (version, event, found)
                    for version, event, kind, found in self.kept.events
                    if version > seen and kind == plural
                    and found["metadata"].get("namespace", "") == namespace
                    and selected(found, words)
                ]  # fmt: skip
                if not events:
                    self.kept.changed.wait(left)
                    continue
            for version, event, found in events:
                self._chunk({"type": event, "object": found})
                seen = version
        with contextlib.suppress(OSError):  # who watched has seen enough
            self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, event: Object) -> None:
        data = json.dumps(event).encode() + b"\n"
        try:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        except OSError:
            self.close_connection = True

    def _log(self, pod: Object, words: dict[str, str]) -> None:
        """What the kubelet of the pod's node answers."""
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        node = self.kept.objects.get(("nodes", "", pod["spec"].get("nodeName", "")))
        states = [each["state"] for each in pod["status"].get("containerStatuses", [])]
        if node is None or not any({"running", "terminated"} & set(state) for state in states):
            raise Refused(
                400, "BadRequest",
                f'container "{words["container"]}" in pod "{name}" is waiting to start',
            )  # fmt: skip
        port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        more = "&".join(
            f"{key}={words[key]}" for key in ("timestamps", "sinceTime") if key in words
        )
        address = f"https://127.0.0.1:{port}/containerLogs/{namespace}/{name}/task?{more}"
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(address, context=trusting, timeout=10) as answer:
            self._send_bytes(200, answer.read(), "text/plain")

    def _send(self, code: int, found: Object) -> None:
        self._send_bytes(code, json.dumps(found).encode(), "application/json")

    def _send_bytes(self, code: int, data: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def merged(found: object, patch: object) -> Any:
    """A JSON merge patch, https://www.rfc-editor.org/rfc/rfc7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(found) if isinstance(found, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def selected(found: Object, words: dict[str, str]) -> bool:
    """Whether an object is among those that selectors name."""
    labels = found["metadata"].get("labels", {})
    for word in filter(None, words.get("labelSelector", "").split(",")):
        key, _, value = word.partition("=")
        if labels.get(key) != value:
            return False
    field_name, _, value = words.get("fieldSelector", "").partition("=")
    for name in filter(None, field_name.split(".")):
        found = found.get(name, {})
    return not field_name or found == value  # type: ignore[comparison-overlap]


def now() -> str:
    """The time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    address: str  # `http://127.0.0.1:40123`
    kept: Kept


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server of its own."""
    kept = Kept()
    with serving(type("Bound", (Handler,), {"kept": kept})) as address:
        yield Server(f"http://{address}", kept)
