"""The C++ toolchain as rules ask for it: what it is for, but no compiler, which other rules call."""

CC_TOOLCHAIN_ATTRS = {}
CC_TOOLCHAIN_TYPE = "@bazel_tools//tools/cpp:toolchain_type"

def find_cc_toolchain(ctx, *, mandatory = True):
    cpu = ctx.var["TARGET_CPU"]
    return struct(
        all_files = depset(),
        compiler = ctx.fragments.cpp.compiler,
        cpu = cpu,
        libc = "glibc",
        target_gnu_system_name = {"k8": "x86_64"}.get(cpu, cpu) + "-linux-gnu",
    )

find_cpp_toolchain = find_cc_toolchain

def use_cc_toolchain(mandatory = False):
    return [CC_TOOLCHAIN_TYPE]
