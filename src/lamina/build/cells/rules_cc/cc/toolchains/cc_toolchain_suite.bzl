"""`cc_toolchain_suite`: a name only, as toolchains are chosen in `lamina.toml`."""

def cc_toolchain_suite(name, visibility = None, tags = None, **kwargs):
    native.filegroup(name = name, visibility = visibility, tags = tags)
