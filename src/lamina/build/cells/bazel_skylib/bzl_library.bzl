"""`bzl_library`: the .bzl files of a folder, under a name."""

def bzl_library(name, srcs = [], deps = [], **kwargs):
    # `deps` only serve to make documentation, and mostly lead to repositories that are not here.
    native.filegroup(name = name, srcs = srcs, **kwargs)
