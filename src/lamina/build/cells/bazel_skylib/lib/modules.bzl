"""Help for MODULE.bazel files, which nothing evaluates here."""

def _nothing(*args, **kwargs):
    return None

modules = struct(
    apparent_repo_name = lambda label_or_name: (
        label_or_name if type(label_or_name) == "string" else label_or_name.workspace_name
    ).lstrip("@"),
    as_extension = _nothing,
    use_all_repos = _nothing,
)
