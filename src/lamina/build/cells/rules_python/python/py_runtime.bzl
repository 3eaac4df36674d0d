"""`py_runtime`: which Python there is, is said in `lamina.toml`."""

load("//python/private:absent.bzl", "absent")

py_runtime = absent("py_runtime", "say which Python to use in `lamina.toml`: `[python] interpreter = \"…\"`")
