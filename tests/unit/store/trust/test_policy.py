from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamina.core.errors import UserError
from lamina.packaging import signing
from lamina.store.trust import places, policy
from lamina.store.trust.places import Place
from lamina.store.trust.policy import Policy

TEXT = """
[[trust.rule]]
packages = ["train/*", "tools/x"]
keys = ["keys/release.pub"]

[[trust.rule]]
packages = ["*"]
keys = []
required = false
"""


def read(text: str, path: str = "/p/policy.toml") -> Policy:
    found = policy.read(Place(path, text.encode()))
    assert found is not None
    return found


def test_the_first_rule_that_fits_is_the_one() -> None:
    found = read(TEXT)

    assert found.rule_for("train/a/b").keys == (Path("/p/keys/release.pub"),)
    assert found.rule_for("tools/x").required
    assert not found.rule_for("tools/xy").required
    assert [found.place(rule) for rule in found.rules] == ["/p/policy.toml:2", "/p/policy.toml:6"]


def test_what_no_rule_names_is_refused_unless_the_policy_says_else() -> None:
    assert read("").rule_for("a").required
    assert not read("[trust]\nrequired = false").rule_for("a").required


def test_names_are_compared_exactly_as_they_are_written() -> None:
    found = read('[[trust.rule]]\npackages = ["train/*"]\nkeys = ["k"]')

    for name in ("Train/a", "train", "x/train/a", "trainer/a"):
        assert found.rule_for(name).keys == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[trust\n", r"^/p/policy.toml:1:7: syntax error"),
        ("a = 1\n", "^/p/policy.toml:1: unknown section or key `a`"),
        ("\n[trusted]\n", "^/p/policy.toml:2: unknown section or key `trusted`"),
        ("trust = 1\n", "^/p/policy.toml:1: `trust` is a table"),
        ("[trust]\nrequired = 1\n", "^/p/policy.toml:2: `required` in `.trust.` takes"),
        ("[trust]\n\nrules = 1\n", "^/p/policy.toml:3: unknown key `rules`"),
        ("[trust]\nrule = 1\n", "^/p/policy.toml:2: rules are a list"),
        ("[trust]\nrule = [1]\n", "^/p/policy.toml:2: rules are tables"),
        (TEXT + "\n[[trust.rule]]\npackages = 1\n", "^/p/policy.toml:12: `packages`"),
        (TEXT + "\n[[trust.rule]]\npackages = ['a']\n", "^/p/policy.toml:11: `keys`"),
        (TEXT.replace("required", "needed"), "^/p/policy.toml:9: unknown key `needed`"),
        (TEXT.replace("required = false", ""), "^/p/policy.toml:6: a rule without `keys`"),
        (TEXT.replace("false", '"no"'), "^/p/policy.toml:9: `required`"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(text)


def test_what_is_no_text_is_told() -> None:
    with pytest.raises(UserError, match="not UTF-8"):
        policy.read(Place("/p/policy.toml", b"\xff"))


def test_a_key_that_is_none_is_told_with_the_line_of_its_rule(tmp_path: Path) -> None:
    path = str(tmp_path / "policy.toml")
    with pytest.raises(UserError, match=r"policy.toml:2: cannot read the key `.*release.pub`"):
        read(TEXT, path).keys_for("train/a")
    (tmp_path / "keys").mkdir()
    key, _, _ = signing.generate(tmp_path / "keys" / "release")

    assert [each.id for each in read(TEXT, path).keys_for("train/a")] == [key]


def test_a_workspace_without_trust_has_no_policy() -> None:
    assert policy.read(Place("/w/lamina.toml", b"[workspace]\nname = 'trust'\n")) is None


def test_policies_are_found_where_they_are_said_to_be(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "w" / "deep"
    (home / "lamina").mkdir(parents=True)
    work.mkdir(parents=True)
    words = {"XDG_CONFIG_HOME": str(home)}

    def found(more: dict[str, str]) -> list[str]:
        return [each.path for each in places.find(str(work), {**words, **more})]

    if not Path(places.SYSTEM).exists():
        assert found({}) == []
    (home / "lamina/policy.toml").touch()
    (tmp_path / "named").touch()
    (tmp_path / "w/lamina.toml").write_text("[workspace]\n")
    assert found({}) == [str(home / "lamina/policy.toml")]
    assert found({places.VARIABLE: str(tmp_path / "named")}) == [str(tmp_path / "named")]
    (tmp_path / "w/lamina.toml").write_text("[trust]\n")
    assert found({}) == [str(home / "lamina/policy.toml"), str(tmp_path / "w/lamina.toml")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_entered_has_no_policy(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)

    assert places.find(str(tmp_path / "closed" / "deep"), {"XDG_CONFIG_HOME": str(tmp_path)}) == []


def test_a_policy_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file"):
        places.find(str(tmp_path), {places.VARIABLE: str(tmp_path / "none")})
    with pytest.raises(UserError, match="cannot read the policy"):
        places.find(str(tmp_path), {places.VARIABLE: str(tmp_path)})
