"""Advice on options of Bazel and Buck that lamina does not have, by what they are there for."""

from __future__ import annotations

import re
from collections.abc import Mapping

_BEHAVIOUR = "it chooses how another build tool behaves: leave it out"
_SHOWN = "`--console` says how progress is shown, `NO_COLOR` takes colours away"
_TOOLCHAIN = "`[cxx]` and `[python]` in `lamina.toml` name the compilers and the interpreter"
_SANDBOX = "every action runs in the sandbox; a test with the tag `no-sandbox` may use the network"
_STORE = "results are kept in the store: `LAMINA_STORE` names its folder"
_STAMP = "nothing is stamped; packages have a version"
_HOST = "programs that run while building are built like all others: leave `host_` out"

# Regular expression for the name without dashes in front, `-` for `_` -> what to do.
_ADVICE: Mapping[str, str] = {
    r"(no-?)?(all-)?(incompatible|experimental|enable-bzlmod|ignore-dev-dependency|lockfile).*":
        _BEHAVIOUR,
    r"announce-rc|(no)?(home|system|workspace)-rc|bazelrc|client-env|startup-time|watchfs":
        "flags are those of `[build]` and `[config.NAME]` in `lamina.toml`",
    r"(no)?(show-(progress|timestamps|task-finish|result).*|color|curses|progress.*|ui.*)": _SHOWN,
    r"(cache-)?test-.*|local-test-jobs|runs-per-test|flaky.*|run-under|build-tests-only|.*coverage.*":
        "`lamina test` takes options of tests: see `lamina test --help`",
    r"features|host-features": "write what the feature stands for, with `--copt` and `--linkopt`",
    r"host-(copt|conlyopt|cxxopt|linkopt|cpu|compilation-mode|action-env|define)": _HOST,
    r"per-file-copt":
        '`copts` are those of one target, `srcs = [("a.cc", ["-O0"])]` gives flags to one source',
    r"action-env|repo-env|host-action-env|(no)?incompatible-strict-action-env":
        "actions see the same few variables on every machine; an attribute `env` sets others",
    r"crosstool-top|compiler|(extra|host|python|java)-?.*(toolchain|platform|path|runtime)s?|"
    r"python-version|python-path|cpu-transition|grte-top|extra-.*": _TOOLCHAIN,
    r"(no)?internal-spawn-scheduler|dynamic-(local|remote)-strategy|"
    r"prefer-(local|remote)":
        "`--remote-race` runs here too what a build farm has not done after a while",
    r"(no)?sandbox.*|.*strategy.*|worker.*|use-cross-platform.*": _SANDBOX,
    r"subcommands|s": "`lamina log ran` lists what ran, `--verbose` shows commands that fail",
    r"nobuild|analysis-only|skip-.*execution": "`--dry-run` loads and analyses, and runs nothing",
    r"profile|trace.*|generate-json-trace-profile": "`lamina log show --trace FILE` writes a trace",
    r"explain|verbose-explanations|execution-log.*": "`lamina why TARGET` tells why actions ran",
    r"build-event.*|event-log|bes-.*": "`--build-report FILE` writes what became of each target",
    r"disk-cache|repository-cache|output-(user-root|base)|distdir|isolation-dir|materializations":
        _STORE,
    r"(no-?)?(remote|google|tls|grpc|credential)-.*":
        "`[remote]` in `lamina.toml` says how a build farm is used",
    r"(prefer|unstable|jobs-per|ram|local)-.*": "`--jobs N` says how many actions run here at once",
    r"override-(repository|module)|inject-repository|repository|registry":
        '`name = "its/folder"` below `[cells]` in `lamina.toml` says where a repository is',
    r"(no)?stamp|workspace-status-command|embed-label": _STAMP,
    r"dynamic-mode|force-pic|interface-shared-objects|legacy-whole-archive":
        "`linkstatic` or `link_style` of the target says how it is linked",
    r"strip|stripopt|fission|linkstamp.*|.*lto.*|pgo.*|fdo.*":
        "write what it stands for, with `--copt` and `--linkopt`",
    r"flagfile|config-file|target-platform-.*": "`--config NAME` takes flags from `lamina.toml`",
    r"num-threads|threads": "`--jobs N` says how many actions run at once",
    r"fail-fast|skip-missing-targets": "the first failure ends a build, but for `--keep-going`",
}  # fmt: skip


def advice(option: str) -> str:
    """What to do about an option, as it was written; "" for one that is no other tool's."""
    name = option.partition("=")[0].lstrip("-").replace("_", "-")
    return next((text for form, text in _ADVICE.items() if re.fullmatch(form, name)), "")
