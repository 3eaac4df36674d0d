"""`cc_import`, as it is built in."""

cc_import = native.cc_import
