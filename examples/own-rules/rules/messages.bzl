"""`messages_library`: texts that C++ and Python share."""

MessagesInfo = provider(
    doc = "The files of messages that a target is made of, with those of its dependencies.",
    fields = {"sources": "depset of files"},
)

def _messages_impl(ctx):
    ctx.actions.run(
        executable = ctx.executable._generate,
        arguments = [ctx.file.src.path, ctx.outputs.header.path, ctx.outputs.module.path],
        inputs = [ctx.file.src],
        outputs = [ctx.outputs.header, ctx.outputs.module],
        mnemonic = "Messages",
    )
    below = [dep[MessagesInfo].sources for dep in ctx.attr.deps]
    return [
        DefaultInfo(files = depset([ctx.outputs.header, ctx.outputs.module])),
        MessagesInfo(sources = depset([ctx.file.src], transitive = below)),
    ]

messages = rule(
    implementation = _messages_impl,
    doc = "Makes a header and a module of a file of messages.",
    attrs = {
        "deps": attr.label_list(providers = [MessagesInfo]),
        "header": attr.output(mandatory = True),
        "module": attr.output(mandatory = True),
        "src": attr.label(allow_single_file = [".msg"], mandatory = True),
        "_generate": attr.label(default = ":generate", executable = True, cfg = "exec"),
    },
)

def messages_library(name, src, deps = [], **kwargs):
    """The messages, and a library for each language: `<name>_cc` and `<name>_py`."""
    messages(
        name = name,
        src = src,
        header = name + ".h",
        module = name + ".py",
        deps = deps,
        **kwargs
    )
    native.cc_library(name = name + "_cc", hdrs = [name + ".h"], **kwargs)
    native.py_library(name = name + "_py", srcs = [name + ".py"], **kwargs)
