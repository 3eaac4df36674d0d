"""`write_file`: a file of the lines that the BUILD file has for it."""

def write_file(name, out, content = [], is_executable = False, newline = "auto", **kwargs):
    native.write_file(
        name = name,
        out = out,
        content = content,
        is_executable = is_executable,
        newline = newline,
        **kwargs
    )
