"""Lists made of lists."""

def _after_each(separator, iterable):
    return [part for element in iterable for part in (element, separator)]

def _before_each(separator, iterable):
    return [part for element in iterable for part in (separator, element)]

def _uniq(iterable):
    return list({element: None for element in iterable})

collections = struct(after_each = _after_each, before_each = _before_each, uniq = _uniq)
