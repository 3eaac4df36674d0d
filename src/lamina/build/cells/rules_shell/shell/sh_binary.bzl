"""`sh_binary`, as it is built in."""

sh_binary = getattr(native, "sh_binary", None)
