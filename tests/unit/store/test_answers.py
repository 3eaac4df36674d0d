"""What error answers of registries say, for people."""

from __future__ import annotations

import json

import pytest

from lamina.store.answers import reason


def answer(**fault: object) -> bytes:
    return json.dumps({"errors": [fault]}).encode()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (answer(code="DENIED"), ": DENIED"),
        (answer(code="DENIED", message="not for you", detail="ask"), ": not for you ask"),
        (answer(message="manifest unknown", detail={"Tag": "v1"}), ": manifest unknown Tag v1"),
        (b"<html>", ""),
    ],
)
def test_an_answer_is_told_in_words(data: bytes, text: str) -> None:
    assert reason(data) == text
