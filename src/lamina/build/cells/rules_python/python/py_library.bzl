"""`py_library`, as it is built in."""

py_library = getattr(native, "py_library", None)
