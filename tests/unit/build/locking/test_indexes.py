"""Where distributions are looked for: uv's settings, else pip's."""

from __future__ import annotations

from pathlib import Path

from lamina.build.locking import indexes

URL = "https://index.invalid/simple"


def test_what_is_set_for_uv_is_left_alone(tmp_path: Path) -> None:
    outer = {"UV_INDEX_URL": URL, "PIP_INDEX_URL": "https://other.invalid", "HOME": str(tmp_path)}

    assert indexes.environment(outer) == outer


def test_variables_of_pip_are_handed_on(tmp_path: Path) -> None:
    outer = {
        "HOME": str(tmp_path),
        "XDG_CONFIG_DIRS": str(tmp_path),
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": URL,
        "PIP_EXTRA_INDEX_URL": "https://a.invalid https://b.invalid",
        "PIP_FIND_LINKS": "/one /two",
        "PIP_CERT": "/cert.pem",
    }

    found = indexes.environment(outer)

    assert {name: value for name, value in found.items() if name not in outer} == {
        "UV_DEFAULT_INDEX": URL,
        "UV_INDEX": "https://a.invalid https://b.invalid",
        "UV_FIND_LINKS": "/one,/two",
        "SSL_CERT_FILE": "/cert.pem",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_the_file_nearest_to_the_user_wins(tmp_path: Path) -> None:
    for folder, url in (("xdg/pip", "https://far.invalid"), ("home/.config/pip", URL)):
        path = tmp_path / folder / "pip.conf"
        path.parent.mkdir(parents=True)
        path.write_text(f"[global]\nindex-url = {url}\n[install]\nno_index = true\n")
    outer = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "xdg")}

    assert indexes.pip_settings(outer)["index-url"] == URL
    assert indexes.pip_settings(outer)["no-index"] == "true"


def test_a_broken_file_of_pip_is_passed_by(tmp_path: Path) -> None:
    path = tmp_path / "pip.conf"
    path.write_text("[global\n")

    assert "index-url" not in indexes.pip_settings({"PIP_CONFIG_FILE": str(path), "HOME": "/none"})
