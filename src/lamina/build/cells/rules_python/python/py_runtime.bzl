"""`py_runtime`, whose targets are known and cannot be built."""

py_runtime = native.py_runtime
