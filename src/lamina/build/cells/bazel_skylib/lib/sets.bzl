"""The older kind of sets: lists of which each element counts once."""

load(":new_sets.bzl", new_sets = "sets")

def _is_set(value):
    if type(value) in ("list", "depset"):
        return value if type(value) == "list" else value.to_list()
    fail("this takes a list or a depset, not a {}".format(type(value)))

def _is_equal(a, b):
    return new_sets.is_equal(new_sets.make(_is_set(a)), new_sets.make(_is_set(b)))

def _is_subset(a, b):
    return new_sets.is_subset(new_sets.make(_is_set(a)), new_sets.make(_is_set(b)))

def _disjoint(a, b):
    return new_sets.disjoint(new_sets.make(_is_set(a)), new_sets.make(_is_set(b)))

def _intersection(a, b):
    return new_sets.to_list(new_sets.intersection(new_sets.make(_is_set(a)), new_sets.make(_is_set(b))))

def _union(*args):
    return new_sets.to_list(new_sets.union(*[new_sets.make(_is_set(a)) for a in args]))

def _difference(a, b):
    return new_sets.to_list(new_sets.difference(new_sets.make(_is_set(a)), new_sets.make(_is_set(b))))

# The functions of the newer kind are here too, as files load either.
sets = struct(
    contains = new_sets.contains,
    copy = new_sets.copy,
    difference = _difference,
    disjoint = _disjoint,
    insert = new_sets.insert,
    intersection = _intersection,
    is_equal = _is_equal,
    is_subset = _is_subset,
    length = new_sets.length,
    make = new_sets.make,
    remove = new_sets.remove,
    repr = new_sets.repr,
    str = new_sets.str,
    to_list = new_sets.to_list,
    union = _union,
)
