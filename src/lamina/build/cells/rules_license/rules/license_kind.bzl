"""`license_kind`: a name for a licence."""

def license_kind(name, visibility = None, **kwargs):
    native.filegroup(name = name, visibility = visibility)
