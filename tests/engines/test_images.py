"""Images of packages, taken by the tools that users have for them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from .conftest import need
from .servers import Run, call

LAST_LINE = "There is one F: D and E use one counter, at one address"
NETWORK = ("--rm", "--network", "host")


def written(lamina: Run, root: Path, form: str, *options: str, target: str = "//:A") -> Path:
    out = root.parent / "out"
    words = ("package", target, "--format", form, "-o", str(out), "--version", "v1", *options)
    return Path(lamina(root, *words))


def rootfs(docker: Run, name: str) -> list[str]:
    return list(json.loads(docker("image", "inspect", name))[0]["RootFS"]["Layers"])


@pytest.mark.parametrize("form", ["docker", "oci-archive"])
def test_docker_loads_and_runs_it_on_a_base(
    lamina: Run, docker: Run, article: Path, base: Path, form: str
) -> None:
    made = written(lamina, article, form, "--base", str(base))

    assert docker("load", "-i", made) == "Loaded image: a:v1\n"
    try:
        assert docker("run", *NETWORK, "a:v1").splitlines()[-1] == LAST_LINE
        words = docker("run", *NETWORK, "--entrypoint", "/bin/sh", "a:v1", "-c", SHOW)
        assert words.split() == ["yes", "v1", "/packages/A", "-rw-r--r--", "0"]
        found = json.loads(docker("image", "inspect", "a:v1"))[0]
        assert found["Created"] == "1970-01-01T00:00:00Z"
        assert found["Config"]["User"] == "7"
        assert found["Config"]["Labels"]["org.opencontainers.image.version"] == "v1"
        assert found["Config"]["Labels"]["lamina.label"] == "//:A"
        assert len(found["RootFS"]["Layers"]) == 1 + 7
    finally:
        docker("rmi", "-f", "a:v1")


SHOW = (
    "echo $FROM_BASE $LAMINA_VERSION $LAMINA_PACKAGE; "
    "ls -ln /packages/A/A.py | { read mode count user rest; echo $mode $user; }"
)


def test_docker_runs_it_without_a_base_on_the_files_of_the_machine(
    lamina: Run, docker: Run, article: Path
) -> None:
    docker("load", "-i", written(lamina, article, "docker"))

    binds = [word for name in ("usr", "bin", "lib", "lib64") for word in _bind(name)]

    assert docker("run", *NETWORK, *binds, "a:v1").splitlines()[-1] == LAST_LINE
    docker("rmi", "-f", "a:v1")


def test_a_static_program_runs_in_an_image_that_holds_nothing_else(
    lamina: Run, docker: Run, tmp_path: Path
) -> None:
    root = tmp_path / "static"
    root.mkdir()
    (root / "lamina.toml").write_text("")
    (root / "BUILD").write_text(
        'cxx_binary(name = "hi", srcs = ["hi.c"], linker_flags = ["-static"], args = ["one"])\n'
    )
    (root / "hi.c").write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n"
        "int main(int n, char **words) {\n"
        '  printf("%s %s %s\\n", words[1], words[2], getenv("LAMINA_VERSION"));\n}\n'
    )

    docker("load", "-i", written(lamina, root, "docker", target="//:hi"))

    assert docker("run", *NETWORK, "hi:v1", "two") == "one two v1\n"
    docker("rmi", "-f", "hi:v1")


def _bind(name: str) -> list[str]:
    return ["-v", f"/{name}:/{name}:ro"] if Path(f"/{name}").exists() else []


def test_an_edit_changes_one_layer_and_the_version_none(
    lamina: Run, docker: Run, article: Path, base: Path
) -> None:
    def loaded(*options: str) -> list[str]:
        words = ("package", "//:A", "--format", "docker", "-o", str(article.parent), "--base")
        docker("load", "-i", lamina(article, *words, str(base), *options))
        return rootfs(docker, f"a:{options[1]}")

    first = loaded("--version", "v1")
    renamed = loaded("--version", "v2")
    (article / "B.py").write_text((article / "B.py").read_text() + "print('edited')\n")
    edited = loaded("--version", "v3")

    assert renamed == first
    assert [one == other for one, other in zip(first, edited, strict=True)].count(False) == 1
    assert "edited" in docker("run", *NETWORK, "a:v3")
    docker("rmi", "-f", "a:v1", "a:v2", "a:v3")


def test_many_layers_are_grouped_into_as_many_as_docker_runs(
    lamina: Run, docker: Run, base: Path, tmp_path: Path
) -> None:
    root = tmp_path / "many"
    root.mkdir()
    (root / "lamina.toml").write_text("")
    (root / "BUILD").write_text("""
count = 122
python_binary(name = "main", main = "main.py", deps = [":d%d" % n for n in range(count)])
[python_library(name = "d%d" % n, resources = ["d%d.txt" % n]) for n in range(count)]
""")
    (root / "main.py").write_text(
        "from pathlib import Path\n"
        "print(sum(int(path.read_text()) for path in Path(__file__).parent.glob('d*.txt')))\n"
    )
    for number in range(122):
        (root / f"d{number}.txt").write_text(f"{number}")

    made = written(lamina, root, "docker", "--base", str(base), target="//:main")

    docker("load", "-i", made)
    assert len(rootfs(docker, "main:v1")) == 120
    assert docker("run", *NETWORK, "main:v1") == f"{sum(range(122))}\n"
    docker("rmi", "-f", "main:v1")


@pytest.mark.parametrize("form", ["docker", "oci-archive"])
def test_podman_loads_and_runs_it(
    lamina: Run, podman: Run, article: Path, base: Path, form: str
) -> None:
    podman("load", "-i", written(lamina, article, form, "--base", str(base)))

    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")

    words = podman("run", *NETWORK, *limits, "docker.io/library/a:v1")
    assert words.splitlines()[-1] == LAST_LINE


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_skopeo_copies_and_checks_every_form(
    lamina: Run, article: Path, tmp_path: Path, compression: str
) -> None:
    skopeo = need("skopeo")
    options = ("--compression", compression)
    layout = written(lamina, article, "oci", *options)
    archive = written(lamina, article, "oci-archive", *options)
    sources = {"layout": f"oci:{layout}:v1", "archive": f"oci-archive:{archive}:v1"}
    if compression != "zstd":
        sources["docker"] = f"docker-archive:{written(lamina, article, 'docker', *options)}"

    found = {}
    for name, source in sources.items():
        call(skopeo, "copy", "--insecure-policy", source, f"dir:{tmp_path / name}")
        config = call(skopeo, "inspect", "--config", source)
        found[name] = json.loads(config)["rootfs"]["diff_ids"]

    assert len(found["layout"]) == 7
    assert all(each == found["layout"] for each in found.values())
    manifest = json.loads((tmp_path / "layout/manifest.json").read_bytes())
    suffix = {"gzip": "+gzip", "zstd": "+zstd", "none": ""}[compression]
    kinds = {layer["mediaType"] for layer in manifest["layers"]}
    assert kinds == {f"application/vnd.oci.image.layer.v1.tar{suffix}"}


def test_umoci_unpacks_the_package_root(lamina: Run, article: Path, tmp_path: Path) -> None:
    umoci = need("umoci")
    layout = written(lamina, article, "oci")
    folder = written(lamina, article, "dir")
    (folder / ".lamina/version").unlink()

    call(umoci, "unpack", "--image", f"{layout}:v1", tmp_path / "bundle")

    assert call("diff", "-r", folder, tmp_path / "bundle/rootfs/packages/A") == ""
    config = json.loads((tmp_path / "bundle/config.json").read_bytes())
    assert config["process"]["args"] == ["/packages/A/A"]
    assert "LAMINA_VERSION=v1" in config["process"]["env"]


def test_every_form_of_a_base_image_is_taken_as_it_is(
    lamina: Run, article: Path, base: Path, tmp_path: Path
) -> None:
    skopeo = need("skopeo")
    layout, archive = tmp_path / "base.oci", tmp_path / "base.tar"
    call(skopeo, "copy", "--insecure-policy", f"docker-archive:{base}", f"oci:{layout}:1")
    call(skopeo, "copy", "--insecure-policy", f"oci:{layout}:1", f"oci-archive:{archive}:1")

    by = {}
    for each in (base, layout, archive):
        made = written(lamina, article, "oci", "--base", str(each))
        config = json.loads(call(skopeo, "inspect", "--config", f"oci:{made}:v1"))
        manifest = json.loads(call(skopeo, "inspect", "--raw", f"oci:{made}:v1"))
        by[each] = (config["rootfs"]["diff_ids"], manifest["layers"][0]["digest"])

    assert by[layout] == by[archive]
    assert by[base][0] == by[layout][0]
    inner = json.loads(call(skopeo, "inspect", "--raw", f"oci:{layout}:1"))
    assert by[layout][1] == inner["layers"][0]["digest"]


def test_a_damaged_base_image_is_refused(lamina: Run, article: Path, store: Path) -> None:
    layout = written(lamina, article, "oci")
    largest = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    assert hashlib.sha256(data).hexdigest() != largest.name
    (store / "blobs" / largest.name[:2] / largest.name[2:]).unlink()  # which is the right one

    with pytest.raises(AssertionError, match="in the image does not match its name"):
        written(lamina, article, "docker", "--base", str(layout))


def test_what_is_no_image_is_no_base(lamina: Run, article: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no image")

    for name in ("text", "article", "absent"):
        with pytest.raises(AssertionError, match="no base image in"):
            written(lamina, article, "oci", "--base", str(tmp_path / name))
