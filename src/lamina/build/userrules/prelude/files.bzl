"""Files, what runs with them, and targets as rules see them."""

# Files and what runs with them

def _file(parts, owner):
    path, short, source, folder = parts
    name = path.rpartition("/")[2]
    root = "" if source else path[:len(path) - len(short) - 1] if path.endswith("/" + short) else ""
    return struct(
        lamina_kind = "File",
        lamina_text = "<{} file {}>".format("source" if source else "generated", short),
        path = path,
        short_path = short,
        basename = name,
        dirname = path.rpartition("/")[0],
        extension = name.rpartition(".")[2] if "." in name else "",
        root = struct(path = root),
        is_source = source,
        is_directory = folder,
        is_symlink = False,
        owner = owner,
        tree_relative_path = None,
    )

def _runfiles(files, symlinks, root_symlinks, targets):
    """Files that are there at run time; `targets` are those whose layers bring more."""

    def merged(others):
        parts = [other.lamina_runfiles() for other in others]
        return _runfiles(
            depset(transitive = [files] + [part[0] for part in parts]),
            depset(transitive = [symlinks] + [part[1] for part in parts]),
            depset(transitive = [root_symlinks] + [part[2] for part in parts]),
            depset(transitive = [targets] + [part[3] for part in parts]),
        )

    return struct(
        lamina_kind = "runfiles",
        lamina_runfiles = lambda: (files, symlinks, root_symlinks, targets),
        files = files,
        symlinks = symlinks,
        root_symlinks = root_symlinks,
        empty_filenames = depset(),
        merge = lambda other: merged([_check(other, "runfiles", "`merge`")]),
        merge_all = lambda others: merged([_check(other, "runfiles", "`merge_all`") for other in others]),
    )

_NO_RUNFILES = _runfiles(depset(), depset(), depset(), depset())

def _links(links):
    if type(links) == "struct":
        return _check(links, "depset", "`symlinks`")
    return depset([struct(path = path, target_file = file) for path, file in (links or {}).items()])

def _target(label, info, providers):
    """What a rule sees of a target: its providers by key, and the fields of `DefaultInfo`."""
    entries = {DefaultInfo: info} | providers
    return struct(
        lamina_kind = "Target",
        lamina_text = getattr(label, "__label__").removeprefix("@@"),
        lamina_entries = lambda: entries,
        label = label,
        files = info.files,
        files_to_run = info.files_to_run,
        default_runfiles = info.default_runfiles,
        data_runfiles = info.data_runfiles,
        **{key: value for key, value in providers.items() if type(key) == "string"}
    )

def _paths(files, what):
    """The paths of a list or depset of files."""
    if type(files) == "struct":
        files = _check(files, "depset", what).to_list()
    found = []
    for file in files or []:
        if _is_struct(file, "FilesToRunProvider"):
            found.append(_check(file.executable, "File", what).path)
        elif _is_struct(file, "depset"):
            found += _paths(file, what)
        else:
            found.append(_check(file, "File", what).path)
    return found
