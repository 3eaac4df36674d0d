"""`cc_static_library`, as it is built in."""

cc_static_library = getattr(native, "cc_static_library", None)
