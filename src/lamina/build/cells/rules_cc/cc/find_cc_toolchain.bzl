"""The C++ toolchain of other build systems; here the rules choose it, from `lamina.toml`."""

load("//cc/private:absent.bzl", "absent")

_INSTEAD = "let a macro call `cc_library` for what is to be compiled"

CC_TOOLCHAIN_ATTRS = {}
CC_TOOLCHAIN_TYPE = "@bazel_tools//tools/cpp:toolchain_type"

find_cc_toolchain = absent("find_cc_toolchain", _INSTEAD)
find_cpp_toolchain = absent("find_cpp_toolchain", _INSTEAD)

def use_cc_toolchain(mandatory = False):
    return [CC_TOOLCHAIN_TYPE]
