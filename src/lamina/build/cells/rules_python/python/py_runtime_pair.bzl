"""`py_runtime_pair`: which Python there is, is said in `lamina.toml`."""

load("//python/private:absent.bzl", "absent")

py_runtime_pair = absent("py_runtime_pair", "say which Python to use in `lamina.toml`: `[python] interpreter = \"…\"`")
