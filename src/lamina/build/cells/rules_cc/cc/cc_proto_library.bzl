"""`cc_proto_library`: made of `genrule` and `cc_library` here."""

load("//cc/private:absent.bzl", "absent")

cc_proto_library = absent("cc_proto_library", "call `protoc` in a `genrule`, and give what it makes to a `cc_library`")
