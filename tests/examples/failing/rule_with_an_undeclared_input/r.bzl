def _impl(ctx):
    out = ctx.actions.declare_file("x.txt")
    ctx.actions.run_shell(outputs = [out], command = "cat data.txt > " + out.path)
    return [DefaultInfo(files = depset([out]))]

thing = rule(implementation = _impl)
