"""`run_binary`: files that a program makes."""

load("//lib:shell.bzl", "shell")

def _word(text):
    # Quoted for the shell, but for what names files: `$(location x)` is replaced inside quotes too.
    return shell.quote(text)

def run_binary(name, tool, srcs = [], outs = [], args = [], env = {}, **kwargs):
    words = [key + "=" + _word(value) for key, value in env.items()]
    words += ["$(location {})".format(tool)] + [_word(arg) for arg in args]
    native.genrule(
        name = name,
        srcs = srcs,
        outs = outs,
        cmd = " ".join(words),
        tools = [tool],
        **kwargs
    )
