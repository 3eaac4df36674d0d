"""What fetches repositories elsewhere, and fails here: `lamina.toml` says where a cell is from."""

def absent(name):
    """A function that says what to do in place of calling it."""

    def call(*args, **kwargs):
        repository = kwargs.get("name", "name")
        fail("`{}` does not fetch anything: write `{} = \"its/folder\"` below `[cells]` in `lamina.toml`, or `{{ url = \"…\", sha256 = \"…\" }}`".format(name, repository))

    return call

def maybe(repo_rule, name, **kwargs):
    repo_rule(name = name, **kwargs)
