"""`cc_toolchain`: a name only, as toolchains are chosen in `lamina.toml`."""

def cc_toolchain(name, visibility = None, tags = None, **kwargs):
    native.filegroup(name = name, visibility = visibility, tags = tags)
