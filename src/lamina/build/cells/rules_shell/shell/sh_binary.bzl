"""`sh_binary`, as it is built in."""

sh_binary = native.sh_binary
