"""`py_import`: wheels are `prebuilt_python_library` here."""

load("//python/private:absent.bzl", "absent")

py_import = absent("py_import", "give the wheel to `prebuilt_python_library`")
