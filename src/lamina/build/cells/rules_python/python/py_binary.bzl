"""`py_binary`, as it is built in."""

py_binary = native.py_binary
