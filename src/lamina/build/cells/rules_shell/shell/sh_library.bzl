"""`sh_library`, as it is built in."""

sh_library = getattr(native, "sh_library", None)
