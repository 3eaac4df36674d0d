"""Gives pods of Jobs an index where Kubernetes is too old to do so: a mutating admission webhook.

`python -m tests.cluster.kubeindexes PORT CERTIFICATE KEY API TOKEN`. As the controller of Indexed
Jobs does from 1.21 on: the lowest index that no pod has which runs, waits or has succeeded; a name
of the machine by it; and how often the index has failed.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/.
"""

from __future__ import annotations

import base64
import json
import ssl
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

_INDEX = "batch.kubernetes.io/job-completion-index"
_FAILURES = "batch.kubernetes.io/job-index-failure-count"
_UNSEEN = 5.0  # seconds after which a pod is surely listed: shorter than until one is made again


class Indexes:
    """Which index is next, by what the API tells of the pods that there are."""

    def __init__(self, api: str, token: str) -> None:
        self._api, self._token = api, token
        self._given: list[tuple[float, str, int]] = []  # when, the uid of the Job, and which

    def patch(self, pod: Any, namespace: str) -> list[dict[str, object]]:
        """What to change in a pod that is about to be made, as a JSON patch."""
        owners = pod["metadata"].get("ownerReferences", [])
        job = next((each for each in owners if each["kind"] == "Job"), None)
        if job is None:
            return []
        pods = self._pods(namespace, job["uid"])
        now = time.monotonic()
        self._given = [each for each in self._given if now - each[0] < _UNSEEN]
        taken = {index for _, uid, index in self._given if uid == job["uid"]}
        taken |= {_index(each) for each in pods if not _has_failed(each) and not _is_going(each)}
        index = next(number for number in range(len(taken) + 1) if number not in taken)
        self._given.append((now, job["uid"], index))
        failures = sum(_has_failed(each) and _index(each) == index for each in pods)
        notes = {**pod["metadata"].get("annotations", {}), _INDEX: str(index)}
        notes[_FAILURES] = str(failures)
        return [
            {"op": "add", "path": "/metadata/annotations", "value": notes},
            {"op": "add", "path": "/spec/hostname", "value": f"{job['name']}-{index}"},
        ]

    def _pods(self, namespace: str, uid: str) -> list[Any]:
        request = urllib.request.Request(
            f"{self._api}/api/v1/namespaces/{namespace}/pods?labelSelector=controller-uid%3D{uid}",
            headers={"Authorization": f"Bearer {self._token}"},
        )
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(request, context=trusting, timeout=10) as answer:
            found: list[Any] = json.load(answer)["items"]
            return found


def _index(pod: Any) -> int:
    return int(pod["metadata"]["annotations"][_INDEX])


def _has_failed(pod: Any) -> bool:
    return bool(pod["status"].get("phase") == "Failed")


def _is_going(pod: Any) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def main(port: str, certificate: str, key: str, api: str, token: str) -> None:
    """Answer the API server for ever, one question at a time."""
    indexes = Indexes(api, token)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = review["request"]
            patch = json.dumps(indexes.patch(asked["object"], asked["namespace"])).encode()
            answer = {
                "uid": asked["uid"], "allowed": True, "patchType": "JSONPatch",
                "patch": base64.b64encode(patch).decode(),
            }  # fmt: skip
            data = json.dumps({
                "apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer,
            }).encode()  # fmt: skip
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = HTTPServer(("127.0.0.1", int(port)), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
