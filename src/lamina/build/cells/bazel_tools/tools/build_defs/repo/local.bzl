"""Repositories in folders of this machine."""

load(":absent.bzl", "absent")

local_repository = absent("local_repository")
new_local_repository = absent("new_local_repository")
