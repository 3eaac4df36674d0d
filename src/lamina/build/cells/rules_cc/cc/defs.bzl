"""The rules of C and C++, all in one file."""

load(":cc_binary.bzl", _cc_binary = "cc_binary")
load(":cc_import.bzl", _cc_import = "cc_import")
load(":cc_library.bzl", _cc_library = "cc_library")
load(":cc_shared_library.bzl", _cc_shared_library = "cc_shared_library")
load(":cc_static_library.bzl", _cc_static_library = "cc_static_library")
load(":cc_test.bzl", _cc_test = "cc_test")

cc_binary = _cc_binary
cc_import = _cc_import
cc_library = _cc_library
cc_shared_library = _cc_shared_library
cc_static_library = _cc_static_library
cc_test = _cc_test
