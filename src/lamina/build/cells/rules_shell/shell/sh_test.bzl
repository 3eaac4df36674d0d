"""`sh_test`, as it is built in."""

sh_test = getattr(native, "sh_test", None)
