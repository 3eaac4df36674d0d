"""Public repositories with BUILD files for Bazel or Buck, and the `lamina.toml` that each is given.

Nothing else is added to them or changed. A cell that is `false` is not there: what needs it is left
out. Folders of cells are beside the repository's, by the name of their source package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_BESIDE = re.compile(r'"\.\./([^"/]+)"')


class Origin(Enum):
    """Who has the source."""

    APT = "apt"
    PIP = "pip"


@dataclass(frozen=True, slots=True)
class Repository:
    """A source package, by the name it has there."""

    name: str
    settings: str = ""  # text of `lamina.toml`
    patterns: tuple[str, ...] = ("//...",)
    origin: Origin = Origin.APT

    @property
    def beside(self) -> tuple[str, ...]:
        """The source packages that its cells are."""
        return tuple(dict.fromkeys(_BESIDE.findall(self.settings)))


_ABSEIL = """\
[cells]
com_google_googletest = "../googletest"
com_github_google_benchmark = "../benchmark"
"""
_BAZEL = """\
[workspace]
ignore = ["platforms", "src/test/shell/bazel/testdata"]    # repositories of their own

[cells]
com_google_googletest = "../googletest"
"*" = false

[cxx]
cxx_flags = ["-include", "limits", "-include", "functional"]    # older compilers have them anyway
linker_flags = ["-lz"]    # the archive is without zlib
"""
_SKYLIB = """\
[cells]
"*" = false

[toolchains]
"//toolchains/unittest:toolchain_type" = "//toolchains/unittest:bash"
"""
_BENCHMARK = """\
[cells]
com_google_googletest = "../googletest"
py_deps = false
pybind11 = false
"""
_BROTLI = """\
[cxx]
c_flags = ["-Wno-error=vla-parameter"]    # newer compilers warn of what -Werror makes an error
"""
_FLATBUFFERS = """\
[cells]
"*" = false
"""
_FMT = """\
[workspace]
ignore = ["support"]

[cells]
fmt = { folder = ".", build_file = "support/bazel/BUILD.bazel" }    # users are to copy it
"""
_GLOG = """\
[cells]
com_github_gflags_gflags = "../gflags"
"""
_GOOGLETEST = """\
[cells]
com_google_absl = "../abseil"
com_googlesource_code_re2 = false
"""
_LABMAZE = """\
[cells]
com_google_absl = "../abseil"
com_google_googletest = "../googletest"
pybind11 = { folder = "../pybind11", build_file = "bazel/pybind11.BUILD" }
python_headers = { folder = "/usr/include/python3.11", build_file = "bazel/python_headers.BUILD" }
"""
_OPENEXR = """\
[cells]
Imath = { folder = "../imath", build_file = "bazel/third_party/Imath.BUILD" }
net_zlib_zlib = { folder = "../zlib", build_file = "bazel/third_party/zlib.BUILD" }
"""
_PROMETHEUS = """\
[cells]
civetweb = { folder = "../civetweb", build_file = "bazel/civetweb.BUILD" }
com_github_curl = false
com_github_google_benchmark = "../benchmark"
com_google_googletest = "../googletest"
net_zlib_zlib = { folder = "../zlib", build_file = "bazel/zlib.BUILD" }
"""
_PROTOBUF = """\
[cells]
com_google_googletest = "../googletest"
zlib = { folder = "../zlib", build_file = "third_party/zlib.BUILD" }
"*" = false
"""
_GOOGLETEST_ALONE = """\
[cells]
com_google_googletest = "../googletest"
"""

REPOSITORIES = (
    Repository("abseil", _ABSEIL),
    Repository("bazel-bootstrap", _BAZEL),
    Repository("bazel-skylib", _SKYLIB),
    Repository("benchmark", _BENCHMARK),
    Repository("brotli", _BROTLI),
    Repository("catch2"),
    Repository("double-conversion"),
    Repository("flatbuffers", _FLATBUFFERS),
    Repository("fmtlib", _FMT),
    Repository("gemmlowp"),
    Repository("gflags"),
    Repository("glslang", _GOOGLETEST_ALONE),
    Repository("google-glog", _GLOG),
    Repository("googletest", _GOOGLETEST),
    Repository("labmaze", _LABMAZE, origin=Origin.PIP),
    Repository("openexr", _OPENEXR),
    Repository("prometheus-cpp", _PROMETHEUS),
    Repository("protobuf", _PROTOBUF),
    Repository("range-v3"),
    Repository("yaml-cpp", _GOOGLETEST_ALONE),
)
