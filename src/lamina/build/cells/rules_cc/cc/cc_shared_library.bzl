"""`cc_shared_library`, as it is built in."""

cc_shared_library = native.cc_shared_library
