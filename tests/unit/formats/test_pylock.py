"""Lock files: what is written is read back, and is what the standard says."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from lamina.core.errors import UserError
from lamina.formats import pylock
from lamina.formats.pylock import Archive, Distribution, Lock, Settings

SHA = "0" * 64
NAMES = st.from_regex(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)
VERSIONS = st.from_regex(r"[0-9]+(\.[0-9]+){0,2}", fullmatch=True)
REQUIREMENTS = st.builds(
    lambda name, extra, marker: f"{name}{extra}{marker}",
    NAMES,
    st.sampled_from(["", "[x]", "[x,y]==1.0", "==2"]),
    st.sampled_from(["", " ; python_version < '4'", ' ; sys_platform == "linux"']),
)
ARCHIVES = st.builds(
    Archive,
    st.from_regex(r"https://x/[a-z]+-1\.0\.tar\.gz", fullmatch=True),
    st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    st.none() | st.integers(0, 2**40),
) | st.builds(
    Archive,
    st.from_regex(r"[a-z]+/[a-z]+-1\.0\.zip", fullmatch=True),
    st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    local=st.just(True),
)
TUPLES = st.lists(REQUIREMENTS, max_size=3).map(tuple)
DISTRIBUTIONS = st.builds(
    Distribution,
    NAMES,
    VERSIONS,
    st.lists(ARCHIVES, max_size=3).map(tuple),
    st.none() | ARCHIVES,
    st.just("") | TEXTS,
    TUPLES,
    st.dictionaries(NAMES, TUPLES, max_size=2),
    TUPLES,
)
LOCKS = st.builds(
    Lock,
    st.lists(DISTRIBUTIONS, max_size=4, unique_by=lambda each: (each.name, each.version)).map(
        lambda found: tuple(sorted(found, key=lambda each: (each.name, each.version)))
    ),
    st.just("") | TEXTS,
    st.lists(TEXTS, max_size=2).map(tuple),
    st.builds(
        Settings,
        st.lists(TEXTS, max_size=2).map(tuple),
        st.just("") | TEXTS,
        st.lists(TEXTS, max_size=2).map(tuple),
        st.lists(NAMES, max_size=2).map(tuple),
        st.lists(NAMES, max_size=2).map(tuple),
    ),
)


@settings(max_examples=30)  # each is a whole file
@given(LOCKS)
def test_what_is_written_is_read_back(lock: Lock) -> None:
    assert pylock.decode(pylock.encode(lock)) == lock


@settings(max_examples=30)  # each is a whole file
@given(LOCKS)
def test_the_order_of_distributions_changes_nothing(lock: Lock) -> None:
    turned = Lock(lock.distributions[::-1], lock.requires_python, lock.environments, lock.settings)

    assert pylock.encode(turned) == pylock.encode(lock)


def test_a_lock_is_what_the_standard_library_of_the_field_takes() -> None:
    pylock_of_packaging = pytest.importorskip("packaging.pylock")
    wheel = Archive("https://x/a-1.0-py3-none-any.whl", SHA, 3)
    lock = Lock(
        (
            Distribution("a", "1.0", (wheel,), requires=("b[x] ; python_version > '3'",)),
            Distribution("b", "2", (), Archive("b-2.tar.gz", SHA, local=True), "os_name == 'nt'"),
        ),
        ">=3.11",
        ("sys_platform == 'linux'",),
    )

    found = pylock_of_packaging.Pylock.from_dict(tomllib.loads(pylock.encode(lock)))

    found.validate()
    assert [str(package.version) for package in found.packages] == ["1.0", "2"]
    assert canonicalize_name(found.packages[0].dependencies[0]["name"]) == "b"


def test_a_lock_of_another_tool_is_read_with_its_dependencies() -> None:
    text = f"""
lock-version = "1.0"
created-by = "another"
[[packages]]
name = "a"
version = "1"
dependencies = [{{ name = "b" }}, {{ name = "c", version = "2" }}]
wheels = [{{ url = "https://x/a-1-py3-none-any.whl", hashes = {{ sha256 = "{SHA}" }} }}]
"""

    (found,) = pylock.decode(text).distributions

    assert found.requires == ("b", "c==2")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "not TOML"),
        ("", "`lock-version` is None"),
        ('lock-version = "2.0"', "`lock-version` is '2.0'"),
        ('lock-version = "1.0"\npackages = [{}]', "`name` is missing"),
        ('lock-version = "1.0"\npackages = [{name = "a", wheels = [{}]}]', "`hashes` is missing"),
        ('lock-version = "1.0"\npackages = 3', "not a lock file as the standard has it"),
        (
            'lock-version = "1.0"\npackages = [{name = "a", wheels = [{url = "x", hashes = {}}]}]',
            "an archive of `a` has no sha256",
        ),
        ('lock-version = "1.0"\npackages = [{name = "a", vcs = {}}]', "`a` is locked as a vcs"),
    ],
)
def test_what_is_no_lock_is_told_of(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        pylock.decode(text)

    assert words in caught.value.message


@settings(max_examples=30)  # each is a whole file
@given(st.text(max_size=60) | LOCKS.map(lambda lock: pylock.encode(lock)[:-7]))
def test_nothing_but_a_user_error_comes_of_any_text(text: str) -> None:
    try:
        pylock.decode(text)
    except UserError:
        return
