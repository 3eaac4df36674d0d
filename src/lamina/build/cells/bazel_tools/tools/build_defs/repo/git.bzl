"""Repositories of git."""

load(":absent.bzl", "absent")

git_repository = absent("git_repository")
new_git_repository = absent("new_git_repository")
