load(":b.bzl", "b")

def a():
    b()
