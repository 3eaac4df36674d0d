Info = provider(fields = ["files"])

def _impl(ctx):
    return [Info(files = ctx.attr.dep[Info].files)]

thing = rule(implementation = _impl, attrs = {"dep": attr.label()})
