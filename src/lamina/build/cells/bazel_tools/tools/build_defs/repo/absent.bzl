"""What fetches repositories elsewhere, and fails here: a cell is mapped to a folder."""

def absent(name):
    """A function that says what to do in place of calling it."""

    def call(*args, **kwargs):
        repository = kwargs.get("name", "name")
        fail("`{}` does not fetch anything: write `{} = \"its/folder\"` below `[cells]` in `lamina.toml`".format(name, repository))

    return call

def maybe(repo_rule, name, **kwargs):
    repo_rule(name = name, **kwargs)
