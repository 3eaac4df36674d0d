"""`py_proto_library`: made of `genrule` and `py_library` here."""

load("//python/private:absent.bzl", "absent")

py_proto_library = absent("py_proto_library", "call `protoc` in a `genrule`, and give what it makes to a `py_library`")
