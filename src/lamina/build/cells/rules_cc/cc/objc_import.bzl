"""`objc_import`: Objective-C is not built here."""

load("//cc/private:absent.bzl", "absent")

objc_import = absent("objc_import", "Objective-C is not built here")
