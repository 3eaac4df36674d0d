"""`py_test`, as it is built in."""

py_test = getattr(native, "py_test", None)
