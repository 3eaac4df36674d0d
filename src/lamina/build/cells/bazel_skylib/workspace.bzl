"""Called in WORKSPACE files, where there is nothing to do: all of this is built in."""

def bazel_skylib_workspace():
    pass
