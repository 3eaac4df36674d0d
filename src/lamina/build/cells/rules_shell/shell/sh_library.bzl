"""`sh_library`, as it is built in."""

sh_library = native.sh_library
