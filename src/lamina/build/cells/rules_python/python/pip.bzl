"""Packages of Python's package index."""

load("//python/private:absent.bzl", "absent")

_INSTEAD = "give wheels to `prebuilt_python_library`"

compile_pip_requirements = absent("compile_pip_requirements", _INSTEAD)
package_annotation = absent("package_annotation", _INSTEAD)
pip_install = absent("pip_install", _INSTEAD)
pip_parse = absent("pip_parse", _INSTEAD)
whl_filegroup = absent("whl_filegroup", _INSTEAD)
