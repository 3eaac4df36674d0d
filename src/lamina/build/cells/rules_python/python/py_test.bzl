"""`py_test`, as it is built in."""

py_test = native.py_test
