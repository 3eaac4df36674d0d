"""References: what is read, and what is refused with advice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core import reference
from lamina.core.errors import UserError
from lamina.core.reference import Reference

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("localhost/a", Reference("localhost", "a")),
        ("localhost:5000/a/b:1", Reference("localhost:5000", "a/b", "1")),
        (
            "registry.example/team/train:v1.2-x",
            Reference("registry.example", "team/train", "v1.2-x"),
        ),
        (f"r.io/a@{DIGEST}", Reference("r.io", "a", "", DIGEST)),
        (f"r.io/a:t@{DIGEST}", Reference("r.io", "a", "t", DIGEST)),
        ("[::1]:5000/a:b", Reference("[::1]:5000", "a", "b")),
        ("oci:/some/folder:v1", Reference("", "/some/folder", "v1")),
        ("oci:folder", Reference("", "folder")),
        ("oci:a:b/c", Reference("", "a:b/c")),
        (f"oci:folder@{DIGEST}", Reference("", "folder", "", DIGEST)),
    ],
)
def test_a_reference_is_read_and_written(text: str, found: Reference) -> None:
    assert reference.parse(text) == found
    assert str(found) == text
    assert reference.is_remote(text)


@pytest.mark.parametrize("text", ["train/gpt", "gpt:1", "a@" + DIGEST, DIGEST, "train/gpt:1.2"])
def test_what_names_no_host_is_a_package_of_the_store(text: str) -> None:
    assert not reference.is_remote(text)
    with pytest.raises(UserError, match="names no registry"):
        reference.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("r.io/Upper:1", "is no name of a repository"),
        ("r.io/a//b", "is no name of a repository"),
        ("r.io/", "is no name of a repository"),
        ("r.io/../x", "is no name of a repository"),
        ("r.io/a:", "is no tag"),
        ("r.io/a:-x", "is no tag"),
        ("r.io/a:" + "x" * 129, "is no tag"),
        ("r.io/a@sha256:12", "is no digest"),
        ("r.io/a@md5:" + "a" * 64, "is no digest"),
        ("r.io:port/a", "is no host"),
        ("oci:", "names no place"),
        ("oci-archive::v1", "names no place"),
        ("oci:folder:", "is no tag"),
    ],
)
def test_a_malformed_reference_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        reference.parse(text)


def test_the_repository_alone_is_wanted() -> None:
    assert reference.repository_of("r.io/a") == Reference("r.io", "a")
    with pytest.raises(UserError, match="not a repository"):
        reference.repository_of("r.io/a:1")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True), ("localhost:5000", True), ("127.0.0.1:80", True), ("[::1]:5000", True),
        ("r.io", False), ("10.0.0.1:5000", False), ("localhost.example", False),
        ("127.example", False), ("127.0.0.1.example", False), ("127.0.0.1@example", False),
    ],
)  # fmt: skip
def test_only_this_machine_may_speak_plainly(host: str, local: bool) -> None:
    assert Reference(host, "a").is_local_host == local


def test_a_digest_counts_more_than_a_tag() -> None:
    assert Reference("r.io", "a", "t", DIGEST).wanted == DIGEST
    assert Reference("r.io", "a", "t").wanted == "t"
    assert Reference("r.io", "a").wanted == "latest"
    assert Reference("r.io", "a", "t").at(DIGEST) == Reference("r.io", "a", "", DIGEST)


@pytest.mark.parametrize(
    ("name", "found"), [("train/gpt", "train/gpt"), ("A_b/C++", "a-b/c"), ("__", "package")]
)
def test_the_name_of_a_package_becomes_one_of_a_repository(name: str, found: str) -> None:
    assert reference.repository_name(name) == found


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for given_text in (text, f"r.io/{text}", f"oci:{text}"):
        try:
            found = reference.parse(given_text)
        except UserError:
            continue
        assert reference.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "path", "tag"),
    [
        ("oci-archive:a/b.tar:v1", "a/b.tar", "v1"),
        ("oci-archive:/x", "/x", ""),
        ("./a.tar", "./a.tar", ""),
        ("b.tar", "b.tar", ""),
    ],
)
def test_a_file_is_a_repository(text: str, path: str, tag: str) -> None:
    found = reference.parse(text)

    assert (found.repository, found.tag, found.is_archive, found.is_layout) == (
        path,
        tag,
        True,
        False,
    )
    assert reference.is_remote(text)
    assert reference.parse(str(found)) == found
