"""Features that tell which nodes have most of a package."""

from __future__ import annotations

import pytest

from lamina.cluster import features

DIGEST = "@sha256:" + "0" * 64


def test_all_versions_of_a_package_have_one_feature_and_others_another() -> None:
    found = [features.of(f"host:5000/team/{name}") for name in (f"a{DIGEST}", "a:v1", f"b{DIGEST}")]

    assert found == ["lamina_team_a", "lamina_team_a", "lamina_team_b"]


def test_long_names_stay_different() -> None:
    long = "/".join(["part"] * 30)

    one, other = features.of(f"host.x/{long}/a:1"), features.of(f"host.x/{long}/b:1")

    assert one != other
    assert max(map(len, (one, other))) < 70


@pytest.mark.parametrize(("missing", "is_warm"), [(0, True), (10, True), (11, False), (100, False)])
def test_a_node_that_lacks_a_tenth_is_warm(missing: int, is_warm: bool) -> None:
    assert features.is_warm(missing, 100) is is_warm


def test_what_nodes_have_besides_stays() -> None:
    known = {"a": ("big", "fast"), "b": ("lamina_x",), "c": ("lamina_x",), "d": ("big", "fast")}
    warm = {"a": True, "b": True, "c": False, "d": True}

    assert features.changed(known, "lamina_x", warm) == {
        ("big", "fast", "lamina_x"): ["a", "d"],
        (): ["c"],
    }


def test_a_constraint_holds_beside_the_preference() -> None:
    assert features.preference("lamina_x", "") == "lamina_x"
    assert features.preference("lamina_x", "big|fast") == "(big|fast)&lamina_x"
