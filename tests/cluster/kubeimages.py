"""The images that a cluster of the tests needs, made of this machine's files."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

from tests.engines import servers

_PAUSE = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"


def pause(archive: Path, name: str) -> None:
    """What holds the namespaces of a pod, as an archive that containerd imports by that name."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / "pause.c", Path(folder) / "pause"
        source.write_text(_PAUSE)
        subprocess.run(["gcc", "-static", "-Os", "-s", "-o", program, source], check=True)
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            tar.add(program, "pause")
        layout = Path(folder) / "layout"
        _layout(layout, layer.getvalue(), {"Entrypoint": ["/pause"]}, name)
        with tarfile.open(archive, "w") as tar:
            for path in sorted(layout.rglob("*")):
                tar.add(path, str(path.relative_to(layout)), recursive=False)


def base(layout: Path) -> None:
    """An image with a shell and Python, as a folder in OCI image layout."""
    with tempfile.TemporaryDirectory() as folder:
        root = servers.small_root(Path(folder)).read_bytes()
    _layout(layout, root, {"Env": ["PATH=/usr/bin:/bin", "FROM_BASE=yes"]}, "1")


def _layout(folder: Path, layer: bytes, config: dict[str, object], name: str) -> None:
    """One image: https://github.com/opencontainers/image-spec/blob/main/image-layout.md."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {
            "mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}",
            "size": len(data),
        }  # fmt: skip

    inner = put(layer, "layer.v1.tar")
    described = {
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [inner["digest"]]},
    }  # fmt: skip
    manifest = put(
        json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": put(json.dumps(described).encode(), "config.v1+json"), "layers": [inner],
        }).encode(),
        "manifest.v1+json",
    )  # fmt: skip
    names = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "manifests": [{**manifest, "annotations": names}]})
    )
