"""The build packages below the one whose BUILD file calls."""

def _supported():
    return True

def _all(exclude = [], allow_empty = False, fully_qualified = True):
    found = native.subpackages(include = ["**"], exclude = exclude, allow_empty = allow_empty)
    if not fully_qualified:
        return found
    root = "//" + native.package_name()
    return [(root if root.endswith("/") else root + "/") + path for path in found]

def _exists(relative_path):
    return relative_path in native.subpackages(include = [relative_path], allow_empty = True)

subpackages = struct(all = _all, exists = _exists, supported = _supported)
