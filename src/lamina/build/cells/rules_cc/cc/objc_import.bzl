"""`objc_import`, whose targets are known and cannot be built."""

objc_import = native.objc_import
