"""`expand_template`: a file in which texts are replaced by others."""

def _impl(ctx):
    ctx.actions.expand_template(
        template = ctx.file.template,
        output = ctx.outputs.out,
        substitutions = ctx.attr.substitutions,
        is_executable = ctx.attr.is_executable,
    )

expand_template = rule(
    implementation = _impl,
    doc = "A file in which texts are replaced by others.",
    attrs = {
        "is_executable": attr.bool(doc = "make it executable"),
        "out": attr.output(mandatory = True, doc = "the file to make"),
        "substitutions": attr.string_dict(mandatory = True, doc = "text -> what to put in its place"),
        "template": attr.label(mandatory = True, allow_single_file = True, doc = "the file"),
    },
)
