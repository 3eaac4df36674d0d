"""Help for repository rules."""

load(":absent.bzl", "absent", _maybe = "maybe")

maybe = _maybe
patch = absent("patch")
read_netrc = absent("read_netrc")
read_user_netrc = absent("read_user_netrc")
update_attrs = absent("update_attrs")
use_netrc = absent("use_netrc")
workspace_and_buildfile = absent("workspace_and_buildfile")
