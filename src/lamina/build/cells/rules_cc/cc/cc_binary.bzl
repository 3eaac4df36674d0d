"""`cc_binary`, as it is built in."""

cc_binary = native.cc_binary
