"""The rules for projects of others, all in one file."""

load(":cmake.bzl", _cmake = "cmake")
load(":configure.bzl", _configure_make = "configure_make")
load(":make.bzl", _make = "make")

cmake = _cmake
configure_make = _configure_make
make = _make
