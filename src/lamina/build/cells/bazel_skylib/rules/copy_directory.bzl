"""`copy_directory`: a folder under another name."""

def copy_directory(name, src, out, **kwargs):
    native.genrule(
        name = name,
        srcs = [src],
        outs = [out],
        cmd = "cp -RL $(location {}) $@".format(src),
        **kwargs
    )
