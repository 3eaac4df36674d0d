"""`cc_static_library`: an archive of a library and of all that it depends on."""

load("//cc/private:absent.bzl", "absent")

cc_static_library = absent("cc_static_library", "a `cc_library` is an archive already, with `linkstatic = True`")
