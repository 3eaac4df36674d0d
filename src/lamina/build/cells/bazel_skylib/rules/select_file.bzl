"""`select_file`: one of the files of a target."""

def _impl(ctx):
    path = "/" + ctx.attr.subpath.lstrip("/")
    found = [file for file in ctx.files.srcs if ("/" + file.path).endswith(path)]
    if not found:
        names = ", ".join(["`{}`".format(file.path) for file in ctx.files.srcs])
        fail("no file `{}` among {}".format(ctx.attr.subpath, names))
    return [DefaultInfo(files = depset([found[0]]))]

select_file = rule(
    implementation = _impl,
    doc = "One of the files of a target.",
    attrs = {
        "srcs": attr.label(mandatory = True, allow_files = True, doc = "the target"),
        "subpath": attr.string(mandatory = True, doc = "how the path of the file ends"),
    },
)
