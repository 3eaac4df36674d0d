"""`diff_test`: a test that two files are the same."""

_SCRIPT = """\
#!/bin/bash
root=${{0%/{depth}}}
if ! diff -u "$root"/{first} "$root"/{second}; then
  echo {message} >&2
  exit 1
fi
"""

def _impl(ctx):
    script = ctx.actions.declare_file(ctx.label.name + ".sh")
    first, second = ctx.file.file1, ctx.file.file2
    message = ctx.attr.failure_message or "{} and {} differ".format(first.short_path, second.short_path)
    ctx.actions.write(script, is_executable = True, content = _SCRIPT.format(
        depth = script.short_path,
        first = _quoted(first.short_path),
        message = _quoted(message),
        second = _quoted(second.short_path),
    ))
    return [DefaultInfo(executable = script, runfiles = ctx.runfiles([first, second]))]

def _quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"

diff_test = rule(
    implementation = _impl,
    doc = "A test that two files are the same.",
    test = True,
    attrs = {
        "failure_message": attr.string(doc = "what to say where they are not"),
        "file1": attr.label(mandatory = True, allow_single_file = True),
        "file2": attr.label(mandatory = True, allow_single_file = True),
    },
)
