"""What a build is configured with: the values that `select()` and the compilers look at."""

from __future__ import annotations

from lamina.core.classes import dataclass


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings of one build, from the command line and `lamina.toml`; one for all targets."""

    compilation_mode: str = "fastbuild"  # or `opt`, `dbg`
    platform: str = ""  # label of a `platform` target; "" is this machine
    cpu: str = ""  # as Bazel calls it, `k8`; "" is this machine's
    compiler: str = ""  # what `config_setting(values = {"compiler": …})` is compared with
    defines: tuple[tuple[str, str], ...] = ()  # `--define key=value`, the last of a key wins
    flags: tuple[tuple[str, str], ...] = ()  # `--//folder:flag=value`, by canonical label
    copts: tuple[str, ...] = ()  # for C and C++
    conlyopts: tuple[str, ...] = ()  # for C alone
    cxxopts: tuple[str, ...] = ()  # for C++ alone
    linkopts: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()  # labels of constraint values, on top of the platform's

    def key(self) -> str:
        """Tells this configuration from others: part of the name of a build's record."""
        return repr(self)


DEFAULT = Configuration()
