from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.errors import IntegrityError
from lamina.formats import dsse
from lamina.formats.dsse import Envelope, Signature

ENVELOPE = Envelope("text/plain", b"hello", (Signature(b"s" * 64, "k"),))


def test_the_signed_bytes_are_those_of_the_specifications_example() -> None:
    signed = dsse.pre_authentication("http://example.com/HelloWorld", b"hello world")

    assert signed == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_a_type_counts_by_its_bytes() -> None:
    assert dsse.pre_authentication("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


@given(
    st.text(max_size=20).filter(str.isprintable),
    st.binary(),
    st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=8),
)
def test_an_envelope_reads_back(kind: str, payload: bytes, values: list[bytes]) -> None:
    envelope = Envelope(kind, payload, tuple(Signature(value, "id") for value in values))

    assert dsse.decode(dsse.encode(envelope)) == envelope


@given(st.binary(max_size=200))
def test_whatever_bytes_there_are_they_are_an_envelope_or_an_error(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="not a DSSE envelope"):
        dsse.decode(data)


@given(st.data())
def test_an_envelope_cut_anywhere_is_none(data: st.DataObject) -> None:
    whole = dsse.encode(ENVELOPE)
    end = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(IntegrityError, match="not a DSSE envelope"):
        dsse.decode(whole[:end])


def test_the_other_alphabet_of_base64_is_read_and_unknown_fields_are_passed_over() -> None:
    payload = b"\xfb\xff\xfe"
    document = {
        "payload": base64.urlsafe_b64encode(payload).decode(),
        "payloadType": "t",
        "signatures": [{"sig": base64.b64encode(b"x").decode(), "cert": "?"}],
        "more": 1,
    }

    assert dsse.decode(json.dumps(document).encode()) == Envelope("t", payload, (Signature(b"x"),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"payload": "aGVsbG8"}, "base64"),  # no padding
        ({"payload": "aGVsbG9="}, "base64"),
        ({"payload": "aGVsbG8=\n"}, "base64"),
        ({"payload": "aGVsbG9"}, "base64"),
        ({"payload": "aGVsbH8="}, ""),  # other bytes, but bytes
        ({"payload": "aGVsbG-/"}, "base64"),  # both alphabets
        ({"payload": "aGU="}, ""),
        ({"payload": "aGV="}, "not written as its bytes are"),  # bits that no byte has
        ({"payload": None}, "a string is wanted"),
        ({"payloadType": 1}, "a string is wanted"),
        ({"payloadType": "t" * 200}, "are the most"),
        ({"payloadType": "\ud800"}, "surrogates"),
        ({"payloadType": "\x1b[31m"}, "a control character"),
        ({"signatures": []}, "0 signatures"),
        ({"signatures": [{"sig": "eA=="}] * 9}, "9 signatures"),
        ({"signatures": {"sig": "eA=="}}, "a list is wanted"),
        ({"signatures": ["eA=="]}, "an object is wanted"),
        ({"signatures": [{"sig": ""}]}, "0 bytes"),
        ({"signatures": [{"sig": "eHh4" * 400}]}, "1200 bytes"),
        ({"signatures": [{"keyid": "k"}]}, "sig"),
        ({"signatures": [{"sig": "eA==", "keyid": "k\n"}]}, "a control character"),
        ({"signatures": [{"sig": "eA==", "keyid": ["k"]}]}, "a string is wanted"),
    ],
)
def test_what_is_malformed_is_told(change: dict[str, Any], message: str) -> None:
    document = json.loads(dsse.encode(ENVELOPE)) | change
    data = json.dumps(document).encode()

    if not message:
        assert dsse.decode(data).payload != ENVELOPE.payload
        return
    with pytest.raises(IntegrityError, match=message):
        dsse.decode(data)


def test_a_name_that_comes_twice_is_an_error() -> None:
    data = dsse.encode(ENVELOPE)[:-1] + b',"payload":"aGk="}'

    with pytest.raises(IntegrityError, match="two values of one name"):
        dsse.decode(data)


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"payload":NaN}', b"[]", b"\xff"])
def test_what_is_hardly_json_is_an_error(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="not a DSSE envelope"):
        dsse.decode(data)


def test_what_is_too_large_is_not_read() -> None:
    with pytest.raises(IntegrityError, match="more than"):
        dsse.decode(b" " * (dsse.LIMIT + 1))
