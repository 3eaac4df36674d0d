"""Names that files load, of things that this program does another way."""

def absent(name, instead):
    """A function that says what to do in place of calling it."""

    def call(*args, **kwargs):
        fail("`{}` is not there: {}".format(name, instead))

    return call
