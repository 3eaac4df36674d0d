"""Values of .bzl files: what they are, how they are written, and depsets.

Functions cannot leave the interpreter, so what rules are made of is written in its own language.
Names that start with `lamina_` are for the program: fields by which its structs are told from those
of users, and functions that it calls. Names that start with `_host` are functions in Python.
"""

_FOREVER = range(1 << 30)

# Values: what they are, and how they are written.

def lamina_type(value):
    kind = type(value)
    if kind != "struct":
        return kind
    return "Label" if hasattr(value, "__label__") else getattr(value, "lamina_kind", kind)

def lamina_text(value):
    kind = type(value)
    if kind == "struct":
        return _written(value)
    if kind == "tuple":
        return tuple([_written(v) if type(v) == "struct" else v for v in value])
    return value

def _written(value):
    if hasattr(value, "lamina_text"):
        return value.lamina_text
    return getattr(value, "__label__", value)

def lamina_str(value):
    return "{}".format(lamina_text(value) if type(value) == "struct" else value)

def lamina_print(*values, sep = " "):
    _host_print(sep.join([lamina_str(value) for value in values]))

def lamina_at(value, *key):
    if type(value) != "struct" or not hasattr(value, "lamina_entries"):
        return value
    entries = value.lamina_entries()
    if key and key[0] not in entries:
        fail("`{}` has no provider `{}`".format(_written(value), _name_of(key[0])))
    return entries

def _name_of(key):
    return key(lamina_name = True) if type(key) == "function" else repr(key)

def _is_struct(value, kind):
    return type(value) == "struct" and getattr(value, "lamina_kind", "") == kind

def _check(value, kind, what):
    if not _is_struct(value, kind):
        fail("{} takes a `{}`, not a `{}`".format(what, kind, lamina_type(value)))
    return value

_encode = json.encode
_decode = json.decode

# depset

def depset(direct = None, order = "default", *, transitive = None):
    if order not in ("default", "postorder", "preorder", "topological"):
        fail("`depset` knows no order `{}`".format(order))
    below = []
    for other in transitive or []:
        _check(other, "depset", "`transitive`")
        if other.lamina_size:
            below.append(other)
    direct = tuple(direct or ())
    if not direct and not below:
        return _NOTHING
    if not direct and len(below) == 1 and order in ("default", below[0].lamina_order):
        return below[0]
    return _depset(direct, tuple(below), order)

def _depset(direct, below, order):
    return struct(
        lamina_kind = "depset",
        # Compared and hashed by this number, never by what is in it.
        lamina_serial = _host_serial(),
        lamina_order = order,
        lamina_size = len(direct) + len(below),
        lamina_parts = lambda: (direct, below),
        to_list = lambda: _listed(direct, below, order),
    )

_NOTHING = _depset((), (), "default")

def _listed(direct, below, order):
    if not below:
        return list({element: None for element in direct})
    # A stack of (direct elements, depsets below, serial); elements alone are already due.
    stack, seen, found = [(direct, below, 0)], {}, {}
    for _ in _FOREVER:
        if not stack:
            break
        elements, children, serial = stack.pop()
        if serial == None:
            found.update({element: None for element in elements if element not in found})
            continue
        if serial in seen:
            continue
        seen[serial] = None
        if order == "preorder":
            found.update({element: None for element in elements if element not in found})
        else:
            stack.append((reversed(elements) if order == "topological" else elements, (), None))
        for child in children if order == "topological" else reversed(children):
            inner, lower = child.lamina_parts()
            stack.append((inner, lower, child.lamina_serial))
    return list(reversed(list(found))) if order == "topological" else list(found)
