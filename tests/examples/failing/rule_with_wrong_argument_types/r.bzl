def _impl(ctx):
    out = ctx.actions.declare_file("x.txt")
    ctx.actions.write(output = out, content = ["a line"])
    return [DefaultInfo(files = depset([out]))]

thing = rule(implementation = _impl)
