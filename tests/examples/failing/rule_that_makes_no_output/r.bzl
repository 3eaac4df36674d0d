def _impl(ctx):
    out = ctx.actions.declare_file("x.txt")
    return [DefaultInfo(files = depset([out]))]

thing = rule(implementation = _impl)
