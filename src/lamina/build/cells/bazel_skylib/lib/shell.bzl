"""Words for a shell."""

def _quote(s):
    return "'" + str(s).replace("'", "'\\''") + "'"

def _array_literal(iterable):
    return "(" + " ".join([_quote(element) for element in iterable]) + ")"

shell = struct(array_literal = _array_literal, quote = _quote)
