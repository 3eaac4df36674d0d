"""The names of pods behind headless Services, in the place of the cluster's name server.

`python -m tests.cluster.kubedns ADDRESS API TOKEN`. It answers with what the controllers of
Kubernetes wrote to Endpoints. RFC 1035, and for the names
https://github.com/kubernetes/dns/blob/master/docs/specification.md.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys
import urllib.error
import urllib.request

_HEADER = struct.Struct(">6H")  # id, flags, questions, answers, authorities, further
_ADDRESS, _NO_NAME = 1, 3
_ZONE = ".svc.cluster.local"


def answer(asked: bytes, api: str, token: str) -> bytes:
    """The answer to a question."""
    number, _, _, _, _, _ = _HEADER.unpack_from(asked)
    labels, place = [], _HEADER.size
    while size := asked[place]:
        labels.append(asked[place + 1 : place + 1 + size].decode().lower())
        place += size + 1
    question = asked[_HEADER.size : place + 5]
    (kind,) = struct.unpack_from(">H", asked, place + 1)
    found = addresses(".".join(labels), api, token)
    told = found if kind == _ADDRESS else []
    flags = 0x8580 | (0 if found else _NO_NAME)
    records = b"".join(
        struct.pack(">HHHIH", 0xC00C, _ADDRESS, 1, 1, 4) + socket.inet_aton(each) for each in told
    )
    return _HEADER.pack(number, flags, 1, len(told), 0, 0) + question + records


def addresses(name: str, api: str, token: str) -> list[str]:
    """The addresses of `[HOST.]SERVICE.NAMESPACE.svc.cluster.local`."""
    if not name.endswith(_ZONE):
        return []
    *host, service, namespace = name.removesuffix(_ZONE).split(".")
    request = urllib.request.Request(
        f"{api}/api/v1/namespaces/{namespace}/endpoints/{service}",
        headers={"Authorization": f"Bearer {token}"},
    )
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(request, context=trusting, timeout=10) as found:
            subsets = json.load(found).get("subsets", [])
    except urllib.error.HTTPError:
        return []
    return [
        str(each["ip"])
        for subset in subsets
        for each in subset.get("addresses", [])
        if not host or host == [each.get("hostname")]
    ]


def main(place: str, api: str, token: str) -> None:
    """Answer for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((place, 53))
        while True:
            asked, whom = server.recvfrom(512)
            server.sendto(answer(asked, api, token), whom)


if __name__ == "__main__":
    main(*sys.argv[1:])
