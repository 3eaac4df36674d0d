"""`py_binary`, as it is built in."""

py_binary = getattr(native, "py_binary", None)
