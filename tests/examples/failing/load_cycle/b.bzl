load(":a.bzl", "a")

def b():
    a()
