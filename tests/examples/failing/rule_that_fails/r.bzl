def _impl(ctx):
    if ctx.attr.size % 2:
        fail("`size` is even, not %d" % ctx.attr.size)
    return []

thing = rule(implementation = _impl, attrs = {"size": attr.int()})
