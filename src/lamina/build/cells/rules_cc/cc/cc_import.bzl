"""`cc_import`, as it is built in."""

cc_import = getattr(native, "cc_import", None)
