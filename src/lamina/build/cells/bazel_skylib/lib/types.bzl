"""What kind of value a value is."""

def _is(kind):
    return lambda v: type(v) == kind

def _is_function(v):
    # Rules and functions that are built in are no functions of Starlark.
    return type(v) in ("function", "native_function", "python_callable_value")

def _is_depset(v):
    return getattr(v, "lamina_kind", "") == "depset"

types = struct(
    is_bool = _is("bool"),
    is_depset = _is_depset,
    is_dict = _is("dict"),
    is_function = _is_function,
    is_int = _is("int"),
    is_list = _is("list"),
    is_none = _is("NoneType"),
    is_set = _is("set"),
    is_string = _is("string"),
    is_tuple = _is("tuple"),
)
