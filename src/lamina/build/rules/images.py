"""Base images: the root file system that the program of a package sees."""

from __future__ import annotations

import re

from lamina.build.analysis import Context, RuleFault
from lamina.build.attributes import Attribute, Kind
from lamina.build.conditions import host_cpu
from lamina.build.providers import Analysed, ImageInfo
from lamina.build.rule import Rule

_PINNED = re.compile(r"[A-Za-z0-9.\[\]:-]+(/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}")
_ARCHITECTURES = {"k8": "amd64", "x86_64": "amd64", "aarch64": "arm64"}  # as images call processors


def base_image(ctx: Context) -> Analysed:
    """`base_image`: an image of containers, or the root file system of a distribution."""
    reference = ctx.text("image")
    if reference and not _PINNED.fullmatch(reference):
        raise RuleFault(
            f"`{reference}` is not the name of one image in a registry",
            hint="`host/repository@sha256:…`, with the digest of its manifest or index:"
            " `skopeo inspect docker://IMAGE` tells it",
            attribute="image",
        )
    label = ctx.label_of("src")
    files = [*(ctx.files(label) if label else ()), *ctx.sources("srcs")]
    if files and reference:
        raise RuleFault("it has both an `image` and files", hint="give one", attribute="image")
    if not files and not reference:
        raise RuleFault(
            "it has no `src`",
            hint='an archive: `src = "image.tar"`; or an OCI layout: `srcs = glob(["image/**"])`',
        )
    cpu = host_cpu()
    architecture = ctx.text("architecture") or _ARCHITECTURES.get(cpu, cpu)
    found = tuple((file.full, file.artifact) for file in files)
    image = ImageInfo(found, ctx.text("tag"), architecture, reference)
    return Analysed(ctx.label, files=found, image=image)


RULES = (
    Rule(
        "base_image",
        {
            "src": Attribute(
                Kind.SOURCE,
                doc="archive of an OCI layout or by `docker save`, tar archive of a root file"
                " system, or a target that makes one, packed or not",
            ),
            "srcs": Attribute(Kind.SOURCES, doc="files of an OCI layout"),
            "tag": Attribute(Kind.STRING, doc="which image, where there are several"),
            "architecture": Attribute(
                Kind.STRING, doc="`amd64`, `arm64` …; by default that of this machine"
            ),
            "image": Attribute(
                Kind.STRING,
                doc="one in a registry, `host/repository@sha256:…`",
            ),
        },
        base_image,
        doc='The root file system of packages: `base_image = ":name"` in the rule of a program.',
    ),
)
