"""The rules of C and C++, all in one file."""

load("//cc/common:cc_common.bzl", _cc_common = "cc_common")
load("//cc/common:cc_info.bzl", _CcInfo = "CcInfo")
load("//cc/common:debug_package_info.bzl", _DebugPackageInfo = "DebugPackageInfo")
load("//cc/toolchains:cc_toolchain.bzl", _cc_toolchain = "cc_toolchain")
load("//cc/toolchains:cc_toolchain_config_info.bzl", _CcToolchainConfigInfo = "CcToolchainConfigInfo")
load("//cc/toolchains:cc_toolchain_suite.bzl", _cc_toolchain_suite = "cc_toolchain_suite")
load(":cc_binary.bzl", _cc_binary = "cc_binary")
load(":cc_import.bzl", _cc_import = "cc_import")
load(":cc_library.bzl", _cc_library = "cc_library")
load(":cc_proto_library.bzl", _cc_proto_library = "cc_proto_library")
load(":cc_shared_library.bzl", _cc_shared_library = "cc_shared_library")
load(":cc_static_library.bzl", _cc_static_library = "cc_static_library")
load(":cc_test.bzl", _cc_test = "cc_test")
load(":objc_import.bzl", _objc_import = "objc_import")
load(":objc_library.bzl", _objc_library = "objc_library")

CcInfo = _CcInfo
CcToolchainConfigInfo = _CcToolchainConfigInfo
DebugPackageInfo = _DebugPackageInfo
cc_binary = _cc_binary
cc_common = _cc_common
cc_import = _cc_import
cc_library = _cc_library
cc_proto_library = _cc_proto_library
cc_shared_library = _cc_shared_library
cc_static_library = _cc_static_library
cc_test = _cc_test
cc_toolchain = _cc_toolchain
cc_toolchain_suite = _cc_toolchain_suite
objc_import = _objc_import
objc_library = _objc_library
