"""`py_library`, as it is built in."""

py_library = native.py_library
