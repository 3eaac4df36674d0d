"""Wheels."""

load("//python/private:absent.bzl", "absent")

_INSTEAD = "`lamina package` makes packages that run as they are"

py_package = absent("py_package", _INSTEAD)
py_wheel = absent("py_wheel", _INSTEAD)
py_wheel_dist = absent("py_wheel_dist", _INSTEAD)
