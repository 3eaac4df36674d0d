def _first(sources):
    for source in sources:
        return source
    return sources[0]

def _impl(ctx):
    text = "%s: %s" % (ctx.label, _first(ctx.files.srcs))
    return []

thing = rule(
    implementation = _impl,
    attrs = {"srcs": attr.label_list(allow_files = True)},
)
