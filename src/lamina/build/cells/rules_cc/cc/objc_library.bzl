"""`objc_library`: Objective-C is not built here."""

load("//cc/private:absent.bzl", "absent")

objc_library = absent("objc_library", "Objective-C is not built here")
