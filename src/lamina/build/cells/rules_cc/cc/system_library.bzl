"""Libraries of the machine."""

load("//cc/private:absent.bzl", "absent")

system_library_flags = absent("system_library_flags", "give the library to `prebuilt_cxx_library` or `linkopts`")
