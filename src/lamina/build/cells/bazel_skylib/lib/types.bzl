"""What kind of value a value is."""

def _is(kind):
    def check(v):
        return type(v) == kind

    return check

def _is_function(v):
    # Rules and functions that are built in are no functions of Starlark.
    return type(v) in ("function", "python_callable_value", "native_function")

def _is_depset(v):
    return type(v) == "struct" and hasattr(v, "to_list") and hasattr(v, "lamina_depset")

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
