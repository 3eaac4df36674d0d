"""Paths as text, with `/` between segments; nothing looks at the file system."""

def _basename(p):
    return p.rpartition("/")[-1]

def _dirname(p):
    head, slash, _ = p.rpartition("/")
    if not slash:
        return ""
    # What is nothing but slashes names the root and stays.
    return head.rstrip("/") or head + slash

def _is_absolute(path):
    return path.startswith("/") or (len(path) > 2 and path[1] == ":" and path[2] in "/\\")

def _join(path, *others):
    joined = path
    for other in others:
        if _is_absolute(other):
            joined = other
        elif not joined or joined.endswith("/"):
            joined += other
        else:
            joined += "/" + other
    return joined

def _normalize(path):
    if not path:
        return "."
    # Exactly two slashes at the start may mean something special; more of them mean one.
    root = "//" if path.startswith("//") and not path.startswith("///") else "/" if path.startswith("/") else ""
    kept = []
    for segment in path.split("/"):
        if segment in ("", "."):
            continue
        if segment != ".." or (kept and kept[-1] == "..") or not (kept or root):
            kept.append(segment)
        elif kept:
            kept.pop()
    return root + "/".join(kept) or "."

def _is_normalized(path, look_for_same_level_references = True):
    for segment in path.split("/"):
        if segment == ".." or (segment == "." and look_for_same_level_references):
            return False
    return True

def _relativize(path, start):
    segments = [s for s in _normalize(path).split("/") if s != "."]
    base = [s for s in _normalize(start).split("/") if s != "."]
    if start.startswith("/") != path.startswith("/"):
        fail("`{}` cannot be relative to `{}`: one is absolute".format(path, start))
    if segments[:len(base)] != base:
        fail("path `{}` is not below `{}`".format(path, start))
    return "/".join(segments[len(base):]) or "."

def _split_extension(p):
    base = _basename(p)
    stem, dot, extension = base.rpartition(".")
    if not dot or not stem.lstrip("."):
        return (p, "")
    return (p[:len(p) - len(extension) - 1], "." + extension)

def _replace_extension(p, new_extension):
    return _split_extension(p)[0] + new_extension

def _starts_with(path_a, path_b):
    if not path_b:
        return True
    a, b = _normalize(path_a), _normalize(path_b)
    if b == ".":
        return not a.startswith(("/", ".."))
    return a == b or a.startswith(b if b.endswith("/") else b + "/")

paths = struct(
    basename = _basename,
    dirname = _dirname,
    is_absolute = _is_absolute,
    is_normalized = _is_normalized,
    join = _join,
    normalize = _normalize,
    relativize = _relativize,
    replace_extension = _replace_extension,
    split_extension = _split_extension,
    starts_with = _starts_with,
)
