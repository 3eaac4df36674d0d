other = transition(
    implementation = lambda settings, attr: {"//command_line_option:cpu": "arm"},
    inputs = [],
    outputs = ["//command_line_option:cpu"],
)

thing = rule(
    implementation = lambda ctx: [],
    attrs = {"dep": attr.label(cfg = other)},
)
