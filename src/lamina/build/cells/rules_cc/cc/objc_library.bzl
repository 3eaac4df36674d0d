"""`objc_library`, whose targets are known and cannot be built."""

objc_library = native.objc_library
