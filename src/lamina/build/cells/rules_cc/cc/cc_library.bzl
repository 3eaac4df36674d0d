"""`cc_library`, as it is built in."""

cc_library = native.cc_library
