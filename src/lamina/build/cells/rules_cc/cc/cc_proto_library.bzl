"""`cc_proto_library`, whose targets are known and cannot be built."""

cc_proto_library = native.cc_proto_library
