"""`cc_test`, as it is built in."""

cc_test = getattr(native, "cc_test", None)
