"""`inventory` lists the messages below some targets; `golden_test` compares a file with another."""

load(":messages.bzl", "MessagesInfo")

def _inventory_impl(ctx):
    sources = depset(transitive = [dep[MessagesInfo].sources for dep in ctx.attr.deps])
    args = ctx.actions.args()
    args.add_all(sources)
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    ctx.actions.run_shell(
        command = 'wc -l "$@" | sed "s/^ *//" > ' + out.path,
        arguments = [args],
        inputs = sources,
        outputs = [out],
    )
    return [DefaultInfo(files = depset([out]))]

inventory = rule(
    implementation = _inventory_impl,
    attrs = {"deps": attr.label_list(providers = [MessagesInfo])},
)

def _golden_test_impl(ctx):
    made, expected = ctx.file.made, ctx.file.expected
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(
        output = script,
        content = "#!/bin/sh\nexec diff -u {} {}\n".format(expected.short_path, made.short_path),
        is_executable = True,
    )
    return [DefaultInfo(executable = script, runfiles = ctx.runfiles([made, expected]))]

golden_test = rule(
    implementation = _golden_test_impl,
    test = True,
    attrs = {
        "expected": attr.label(allow_single_file = True, mandatory = True),
        "made": attr.label(allow_single_file = True, mandatory = True),
    },
)
