"""`cc_binary`, as it is built in."""

cc_binary = getattr(native, "cc_binary", None)
