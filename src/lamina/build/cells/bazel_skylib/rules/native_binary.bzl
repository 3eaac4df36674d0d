"""`native_binary` and `native_test`: programs that are there already, as targets to run."""

def _impl(ctx):
    program = ctx.actions.declare_file(ctx.attr.out or ctx.label.name)
    ctx.actions.symlink(output = program, target_file = ctx.file.src, is_executable = True)
    runfiles = ctx.runfiles(ctx.files.data).merge_all(
        [target.default_runfiles for target in [ctx.attr.src] + ctx.attr.data],
    )
    return [DefaultInfo(executable = program, runfiles = runfiles)]

_ATTRS = {
    "data": attr.label_list(allow_files = True, doc = "files that it reads"),
    "out": attr.string(doc = "its file name; by default that of the target"),
    "src": attr.label(mandatory = True, allow_single_file = True, doc = "the program"),
}

native_binary = rule(
    implementation = _impl,
    doc = "A program that is there already.",
    executable = True,
    attrs = _ATTRS,
)

native_test = rule(
    implementation = _impl,
    doc = "A program that is there already, as a test.",
    test = True,
    attrs = _ATTRS,
)
