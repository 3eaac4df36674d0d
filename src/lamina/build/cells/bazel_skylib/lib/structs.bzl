"""Structs as dicts, and merged."""

def _to_dict(s):
    return {name: getattr(s, name) for name in dir(s) if name not in ("to_json", "to_proto")}

def _merge(first, *rest):
    fields = _to_dict(first)
    for other in rest:
        fields.update(_to_dict(other))
    return struct(**fields)

structs = struct(merge = _merge, to_dict = _to_dict)
