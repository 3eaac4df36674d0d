"""`cc_library`, as it is built in."""

cc_library = getattr(native, "cc_library", None)
