"""`cc_test`, as it is built in."""

cc_test = native.cc_test
