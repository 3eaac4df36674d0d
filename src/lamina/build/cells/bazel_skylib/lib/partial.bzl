"""Functions with some of their arguments given."""

def _make(func, *args, **kwargs):
    return struct(function = func, args = args, kwargs = kwargs)

def _call(partial, *args, **kwargs):
    return partial.function(*(partial.args + args), **(partial.kwargs | kwargs))

def _is_instance(v):
    return type(v) == "struct" and sorted(dir(v)) == ["args", "function", "kwargs"]

partial = struct(call = _call, is_instance = _is_instance, make = _make)
