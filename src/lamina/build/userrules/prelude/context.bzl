"""Calls the implementation of a rule for a target, and looks at what it gives."""

# What Python gives and takes is JSON text: the library carries one text over faster than many values.

def _analyse(implementation, attrs, provides, toolchains, text, deps):
    data = _decode(text)
    label = struct(**data["label"])
    own = {path: _file(parts, label) for path, parts in data["outputs"].items()}
    values, one, many, programs = _attribute_values(attrs, data, deps, label, own)
    found = {kind: values[name].lamina_entries()[_ToolchainInfo] for kind, name in toolchains}
    ctx = _context(data, label, own, values, one, many, programs, found)
    return _finished(implementation(ctx), provides, data, label, own, ctx)

def _attribute_values(attrs, data, deps, label, own):
    """`ctx.attr`, `ctx.file`, `ctx.files` and `ctx.executable`."""
    values, one, many, programs = dict(data["common"]), {}, {}, {}
    for name, value in data["values"].items():
        attribute = attrs[name]
        kind = attribute.kind
        if kind in ("label", "label_list", "label_keyed_string_dict"):
            texts = [] if value == None else [value] if kind == "label" else list(value)
            targets = [deps[text] for text in texts]
            for target in targets:
                _require(target, name, attribute.providers)
            files = depset(transitive = [target.files for target in targets]).to_list()
            many[name] = files
            if kind == "label":
                values[name] = targets[0] if targets else None
                if attribute.single:
                    one[name] = files[0] if files else None
                if attribute.executable:
                    programs[name] = _program(targets[0], name) if targets else None
            elif kind == "label_list":
                values[name] = targets
            else:
                values[name] = {deps[text]: word for text, word in value.items()}
        elif kind in ("output", "output_list"):
            values[name] = None if value == None else struct(**value) if kind == "output" else [struct(**v) for v in value]
        else:
            values[name] = value
    return values, one, many, programs

def _require(target, name, providers):
    if not providers:
        return
    choices = [providers] if type(providers[0]) != "list" else providers
    entries = target.lamina_entries()
    for choice in choices:
        if all([key in entries for key in choice]):
            return
    missing = [_name_of(key) for key in choices[0] if key not in entries]
    _host_blame(name, target.lamina_text, "`{}` in `{}` has no provider {}".format(
        target.lamina_text,
        name,
        ", ".join(["`{}`".format(key) for key in missing]),
    ))

def _program(target, name):
    if target.files_to_run.executable != None:
        return target.files_to_run.executable
    files = target.files.to_list()
    if len(files) != 1:
        _host_blame(name, target.lamina_text, "`{}` in `{}` is no program".format(target.lamina_text, name))
    return files[0]

def _context(data, label, own, values, one, many, programs, toolchains):
    def expand_location(text, targets = None, short_paths = False):
        return _host_expand_location(text)

    def expand_make_variables(attribute_name, command, additional_substitutions = {}):
        return _host_expand_variables(attribute_name, command, data["var"] | additional_substitutions)

    def runfiles(
            files = None,
            transitive_files = None,
            collect_default = False,
            collect_data = False,
            symlinks = None,
            root_symlinks = None):
        below = [transitive_files] if transitive_files != None else []
        if collect_data:
            data = values.get("data")
            below += [target.files for target in data] if type(data) == "list" else []
        mine = _runfiles(
            depset(files or [], transitive = below),
            _links(symlinks),
            _links(root_symlinks),
            depset(),
        )
        if not (collect_default or collect_data):
            return mine
        found = []
        for name in ("srcs", "deps", "data"):
            value = values.get(name)
            found += value if type(value) == "list" else []
        return mine.merge_all([target.default_runfiles for target in found if _is_struct(target, "Target")])

    folder = struct(path = data["bin"])
    outputs = {name: _outputs(value, own) for name, value in data["named"].items()}
    return struct(
        lamina_kind = "ctx",
        actions = _actions(data, label, own),
        aspect_ids = [],
        attr = struct(**values),
        bin_dir = folder,
        build_file_path = data["build_file"],
        build_setting_value = data["setting"],
        configuration = struct(
            coverage_enabled = False,
            default_shell_env = {},
            host_path_separator = ":",
            test_env = {},
        ),
        coverage_instrumented = lambda target = None: False,
        disabled_features = [],
        exec_groups = {},
        executable = struct(**programs),
        expand_location = expand_location,
        expand_make_variables = expand_make_variables,
        features = values.get("features") or [],
        file = struct(**one),
        files = struct(**many),
        fragments = struct(cpp = struct(**data["cpp"]), platform = struct(), py = struct()),
        genfiles_dir = folder,
        host_configuration = struct(host_path_separator = ":"),
        info_file = None,
        label = label,
        outputs = struct(**outputs),
        resolve_command = _absent("ctx.resolve_command", "use `ctx.actions.run_shell`"),
        resolve_tools = _resolve_tools,
        runfiles = runfiles,
        split_attr = struct(),
        target_platform_has_constraint = lambda constraint: _host_has_constraint(lamina_text(constraint.label)) if hasattr(constraint, "label") else False,
        tokenize = _host_tokenize,
        toolchains = toolchains,
        var = data["var"],
        version_file = None,
        workspace_name = data["workspace"],
    )

def _resolve_tools(*, tools = []):
    """Inputs and manifests: a program brings all that it needs."""
    programs = [t.files_to_run.executable for t in tools if t.files_to_run.executable]
    return depset(programs, transitive = [t.files for t in tools if not t.files_to_run.executable]), []

def _outputs(value, own):
    return [own[path] for path in value] if type(value) == "list" else own.get(value)

def _finished(given, provides, data, label, own, ctx):
    """The target that the providers of an implementation make; tells the program of it."""
    providers, old = _providers(given)
    for key in provides:
        if key not in providers and key != DefaultInfo:
            fail("the rule says that it provides `{}`, and gives none".format(_name_of(key)))
    info = providers.get(DefaultInfo) or DefaultInfo(**old)
    executable = info.files_to_run.executable
    if executable == None and AnalysisTestResultInfo in providers:
        executable = _told(providers[AnalysisTestResultInfo], ctx)
    if executable == None and data["executable"]:
        executable = own.get(data["default_executable"])
        if executable == None or not _host_is_made(executable.path):
            fail("a rule with `executable = True` gives `DefaultInfo(executable = …)`")
    files = info.files
    if files == None:
        files = depset([executable] if executable else [own[path] for path in data["default"]])
    runfiles = info.default_runfiles or _NO_RUNFILES
    if executable:
        runfiles = _runfiles(depset([executable]), depset(), depset(), depset()).merge(runfiles)
    full = DefaultInfo(
        files = files,
        default_runfiles = runfiles,
        data_runfiles = info.data_runfiles or runfiles,
        executable = executable,
    )
    carried = _runfiles(files, depset(), depset(), depset()).merge(runfiles).lamina_runfiles()
    _host_finish(_encode({
        "files": _paths(files, "`files`"),
        "executable": executable.path if executable else "",
        "needs_runfiles": executable != None or info.default_runfiles != None or info.data_runfiles != None,
        "runfiles": _paths(carried[0], "`runfiles`"),
        "symlinks": [[link.path, link.target_file.path] for link in carried[1].to_list() + carried[2].to_list()],
        "targets": carried[3].to_list(),
        "environment": _environment(providers),
        "python": _python_part(providers),
        "cxx": _cxx_part(providers),
    }))
    names = _runfiles(depset(), depset(), depset(), depset([data["text"]]))
    shown = DefaultInfo(
        files = full.files,
        default_runfiles = full.default_runfiles.merge(names),
        data_runfiles = full.data_runfiles.merge(names),
        executable = _file(_host_tool(executable.path), label) if executable else None,
    )
    return _target(label, shown, {key: value for key, value in providers.items() if key != DefaultInfo})

def _told(result, ctx):
    """A program that tells how a test went which was over when its target was analysed."""
    script = ctx.actions.declare_file(ctx.label.name + ".result")
    message = "'" + result.message.replace("'", "'\\''") + "'"
    text = "#!/bin/sh\nprintf '%s\\n' {}\nexit {}\n".format(message, 0 if result.success else 1)
    ctx.actions.write(script, text, is_executable = True)
    return script

def _providers(given):
    """Providers by key, from a list or from the struct that older rules return.

    Any field of that struct is seen by dependents, and is a provider by its name.
    """
    old, found = {}, {}
    if type(given) == "struct" and not hasattr(given, "lamina_provider"):
        fields = {name: getattr(given, name) for name in dir(given)}
        given = fields.pop("providers", [])
        old = {name: fields.pop(name) for name in _OF_DEFAULT_INFO if name in fields}
        found = {name: value for name, value in fields.items() if name not in _NO_PROVIDERS}
    elif type(given) in ("struct", "string"):
        given = [given]
    for instance in given or []:
        if type(instance) == "string" and instance.startswith("@"):
            fail("it needs `{}`, which is not here".format(instance))  # a name of an absent cell
        if type(instance) in ("list", "tuple"):
            found.update(_providers(instance)[0])
            continue
        if type(instance) != "struct" or not hasattr(instance, "lamina_provider"):
            fail("an implementation returns providers, not a `{}`".format(lamina_type(instance)))
        if instance.lamina_provider in found:
            fail("it returns the provider `{}` twice".format(_name_of(instance.lamina_provider)))
        found[instance.lamina_provider] = instance
    return found, old

_OF_DEFAULT_INFO = ("files", "runfiles", "data_runfiles", "default_runfiles", "executable")
_NO_PROVIDERS = ("instrumented_files", "output_groups")

def _environment(providers):
    info = providers.get(RunEnvironmentInfo)
    return info.environment if info else {}

def _python_part(providers):
    info = providers.get(PyInfo)
    if info == None:
        return None
    return {
        "sources": _paths(info.transitive_sources, "`transitive_sources` of `PyInfo`"),
        "imports": info.imports.to_list(),
    }

def _cxx_part(providers):
    info = providers.get(CcInfo)
    if info == None:
        return None
    context = info.compilation_context
    return {
        "headers": _paths(context.headers, "`headers`"),
        "includes": context.includes.to_list(),
        "quote_includes": context.quote_includes.to_list(),
        "system_includes": context.system_includes.to_list(),
        "defines": context.defines.to_list(),
        "targets": info.lamina_targets.to_list(),
    }
