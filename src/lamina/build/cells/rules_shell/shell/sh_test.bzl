"""`sh_test`, as it is built in."""

sh_test = native.sh_test
