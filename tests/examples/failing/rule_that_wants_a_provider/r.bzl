Info = provider(fields = ["files"])

thing = rule(
    implementation = lambda ctx: [],
    attrs = {"dep": attr.label(providers = [Info])},
)
