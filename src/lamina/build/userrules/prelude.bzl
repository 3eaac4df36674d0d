"""What .bzl files define rules with. It runs in the interpreter, as functions cannot leave it.

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
        fail("{} takes a {}, not a {}".format(what, kind, lamina_type(value)))
    return value

def _plain(value):
    """A value as `json.encode` takes it."""
    kind = type(value)
    if kind == "struct":
        if hasattr(value, "__label__"):
            return getattr(value, "__label__")
        fields = [name for name in dir(value) if not name.startswith("lamina_")]
        return {name: _plain(getattr(value, name)) for name in fields}
    if kind in ("list", "tuple"):
        return [_plain(element) for element in value]
    if kind == "dict":
        return {key: _plain(element) for key, element in value.items()}
    return value

_encode = json.encode
_decode = json.decode

def lamina_encode(value):
    return _encode(_plain(value))

def lamina_indent(text, *, prefix = "", indent = "\t"):
    return _host_indent(text, prefix, indent)

def lamina_encode_indent(value, *, prefix = "", indent = "\t"):
    return _host_indent(lamina_encode(value), prefix, indent)

def lamina_decode(text, *default):
    if default and not _host_is_json(text):
        return default[0]
    return _decode(text)

lamina_json = struct(
    decode = lamina_decode,
    encode = lamina_encode,
    encode_indent = lamina_encode_indent,
    indent = lamina_indent,
)

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

# provider

def provider(doc = "", *, fields = None, init = None):
    number = _host_new_provider()
    allowed = None if fields == None else {name: None for name in fields}

    def raw(**kwargs):
        for name in kwargs:
            if allowed != None and name not in allowed:
                fail("the provider `{}` has no field `{}`".format(_host_provider(number), name))
        return struct(lamina_provider = made, **kwargs)

    def made(*args, **kwargs):
        if "lamina_export" in kwargs:
            return _host_name_provider(number, kwargs["lamina_export"])
        if "lamina_name" in kwargs:
            return _host_provider(number)
        if init:
            return raw(**init(*args, **kwargs))
        if args:
            fail("the fields of the provider `{}` are given by name".format(_host_provider(number)))
        return raw(**kwargs)

    return (made, raw) if init else made

def _built_in(name, fields = None, init = None):
    made = provider(fields = fields, init = init)
    made = made[0] if init else made
    made(lamina_export = name)
    return made

def _default_info(files = None, runfiles = None, data_runfiles = None, default_runfiles = None, executable = None):
    if files != None:
        _check(files, "depset", "`files` of `DefaultInfo`")
    if runfiles != None and (data_runfiles != None or default_runfiles != None):
        fail("`DefaultInfo` takes `runfiles`, or `data_runfiles` and `default_runfiles`")
    for given in (runfiles, data_runfiles, default_runfiles):
        if given != None:
            _check(given, "runfiles", "`runfiles` of `DefaultInfo`")
    if executable != None:
        _check(executable, "File", "`executable` of `DefaultInfo`")
    return dict(
        files = files,
        default_runfiles = default_runfiles if runfiles == None else runfiles,
        data_runfiles = data_runfiles if runfiles == None else runfiles,
        files_to_run = struct(
            lamina_kind = "FilesToRunProvider",
            executable = executable,
            runfiles_manifest = None,
            repo_mapping_manifest = None,
        ),
    )

DefaultInfo = _built_in("DefaultInfo", init = _default_info)

def _run_environment(environment = {}, inherited_environment = []):
    return dict(environment = environment, inherited_environment = inherited_environment)

RunEnvironmentInfo = _built_in("RunEnvironmentInfo", init = _run_environment)

def _groups(**groups):
    for name, files in groups.items():
        if type(files) in ("list", "tuple"):
            groups[name] = depset(files)
        else:
            _check(files, "depset", "`OutputGroupInfo`")
    return dict(lamina_entries = lambda: groups, **groups)

OutputGroupInfo = _built_in("OutputGroupInfo", init = _groups)
InstrumentedFilesInfo = _built_in("InstrumentedFilesInfo")
_ExecutionInfo = _built_in("ExecutionInfo", init = lambda requirements = {}, exec_group = "": dict(
    requirements = requirements,
    exec_group = exec_group,
))
_ToolchainInfo = _built_in("ToolchainInfo")
_TemplateVariableInfo = _built_in("TemplateVariableInfo", init = lambda variables: dict(variables = variables))
_FeatureFlagInfo = _built_in("FeatureFlagInfo")
_ConstraintValueInfo = _built_in("ConstraintValueInfo")
_PlatformInfo = _built_in("PlatformInfo")

def _py_info(
        transitive_sources = None,
        uses_shared_libraries = False,
        imports = None,
        has_py2_only_sources = False,
        has_py3_only_sources = True,
        **others):
    return dict(
        transitive_sources = depset() if transitive_sources == None else transitive_sources,
        uses_shared_libraries = uses_shared_libraries,
        imports = depset() if imports == None else imports,
        has_py2_only_sources = has_py2_only_sources,
        has_py3_only_sources = has_py3_only_sources,
        **others
    )

PyInfo = _built_in("PyInfo", init = _py_info)

def _absent(name, hint):
    def call(*args, **kwargs):
        fail("`{}` is not there: {}".format(name, hint))

    return call

config = struct(
    bool = lambda flag = False: struct(type = "bool", flag = flag),
    exec = lambda exec_group = None: "exec",
    int = lambda flag = False: struct(type = "int", flag = flag),
    none = lambda: "target",
    string = lambda flag = False, allow_multiple = False: struct(
        type = "string_list" if allow_multiple else "string",
        flag = flag,
    ),
    string_list = lambda flag = False, repeatable = False: struct(type = "string_list", flag = flag),
    target = lambda: "target",
)
config_common = struct(
    FeatureFlagInfo = _FeatureFlagInfo,
    toolchain_type = lambda name, mandatory = True: name,
)
coverage_common = struct(
    instrumented_files_info = lambda ctx, **kwargs: InstrumentedFilesInfo(**kwargs),
)
platform_common = struct(
    ConstraintValueInfo = _ConstraintValueInfo,
    PlatformInfo = _PlatformInfo,
    TemplateVariableInfo = _TemplateVariableInfo,
    ToolchainInfo = _ToolchainInfo,
)

def _test_environment(environment = {}, inherited_environment = []):
    return RunEnvironmentInfo(environment = environment, inherited_environment = inherited_environment)

testing = struct(
    ExecutionInfo = _ExecutionInfo,
    TestEnvironment = _test_environment,
    analysis_test = _absent("testing.analysis_test", "there is one configuration for all targets"),
)

# Attributes

def _attribute(kind, default = None, doc = "", mandatory = False, cfg = None, aspects = [], **others):
    absent = ""
    if aspects:
        absent = "an aspect on an attribute"
    elif type(cfg) == "struct":
        absent = "a transition on an attribute"
    elif type(default) == "function":
        absent = "a default that is computed"
    return struct(
        lamina_kind = "Attribute",
        kind = kind,
        default = None if absent else default,
        doc = doc,
        mandatory = mandatory,
        absent = absent,
        executable = others.get("executable", False),
        allow_empty = others.get("allow_empty", True),
        allow_files = others.get("allow_files", None),
        single = others.get("allow_single_file", None),
        providers = others.get("providers", None) or [],
        values = others.get("values", None) or [],
    )

def _attribute_of(kind):
    return lambda **kwargs: _attribute(kind, **kwargs)

attr = struct(
    bool = _attribute_of("bool"),
    int = _attribute_of("int"),
    int_list = _attribute_of("int_list"),
    label = _attribute_of("label"),
    label_keyed_string_dict = lambda allow_empty = True, **kwargs: _attribute(
        "label_keyed_string_dict",
        allow_empty = allow_empty,
        **kwargs
    ),
    label_list = lambda allow_empty = True, **kwargs: _attribute("label_list", allow_empty = allow_empty, **kwargs),
    license = _attribute_of("license"),
    output = _attribute_of("output"),
    output_list = lambda allow_empty = True, **kwargs: _attribute("output_list", allow_empty = allow_empty, **kwargs),
    string = _attribute_of("string"),
    string_dict = _attribute_of("string_dict"),
    string_keyed_label_dict = _attribute_of("string_keyed_label_dict"),
    string_list = lambda allow_empty = True, **kwargs: _attribute("string_list", allow_empty = allow_empty, **kwargs),
    string_list_dict = _attribute_of("string_list_dict"),
)

def _specified(name, attribute):
    """An attribute without the functions in it."""
    if not _is_struct(attribute, "Attribute"):
        fail("the attribute `{}` is a {}: write `attr.string(…)` or its like".format(name, lamina_type(attribute)))
    return {
        "kind": attribute.kind,
        "default": attribute.default,
        "doc": attribute.doc or "",
        "mandatory": attribute.mandatory,
        "absent": attribute.absent,
        "executable": attribute.executable,
        "allow_empty": attribute.allow_empty,
        "allow_files": attribute.allow_files,
        "single": attribute.single,
        "values": attribute.values,
    }

# rule

def rule(
        implementation,
        *,
        test = False,
        attrs = {},
        outputs = None,
        executable = False,
        doc = "",
        provides = [],
        cfg = None,
        build_setting = None,
        initializer = None,
        parent = None,
        analysis_test = False,
        **accepted):
    for name in accepted:
        if name not in _ACCEPTED:
            fail("`rule` has no argument `{}`".format(name))
    absent = ""
    if type(cfg) == "struct":
        absent = "a transition on a rule"
    elif parent != None:
        absent = "a rule that extends another"
    elif type(outputs) == "function":
        absent = "a function for `outputs`"
    spec = {
        "attributes": {name: _specified(name, a) for name, a in attrs.items() if a != None},
        "outputs": {} if absent else (outputs or {}),
        "executable": executable or test,
        "test": test or analysis_test,
        "doc": doc or "",
        "setting": build_setting.type if build_setting else "",
        "absent": absent,
    }
    number = _host_new_rule(spec)

    def made(*args, **kwargs):
        if "lamina_export" in kwargs:
            return _host_name_rule(number, kwargs["lamina_export"])
        if "lamina_analyse" in kwargs:
            return _analyse(implementation, attrs, provides, *kwargs["lamina_analyse"])
        if initializer:
            kwargs.update(initializer(**kwargs))
        return _host_call_rule(number, args, {k: v for k, v in kwargs.items() if v != None})

    return made

_ACCEPTED = {
    name: None
    for name in [
        "compile_one_filetype",
        "dependency_resolution_rule",
        "exec_compatible_with",
        "exec_groups",
        "extendable",
        "fragments",
        "host_fragments",
        "incompatible_use_toolchain_transition",
        "output_to_genfiles",
        "skylark_testable",
        "subrules",
        "toolchains",
    ]
}

def macro(*, implementation, attrs = {}, doc = "", finalizer = False, inherit_attrs = None):
    """A symbolic macro: its attributes have defaults, and the caller's place in the file."""
    inherited = inherit_attrs != None

    def called(*args, name, visibility = None, **kwargs):
        if args:
            fail("a macro takes its attributes by name only")
        for key in kwargs:
            if key not in attrs and not inherited:
                fail("the macro has no attribute `{}`".format(key))
        given = {}
        for key, attribute in attrs.items():
            if attribute == None:
                continue
            if attribute.mandatory and key not in kwargs:
                fail("the macro needs the attribute `{}`".format(key))
            given[key] = attribute.default if attribute.default != None else _EMPTY.get(attribute.kind)
        implementation(name = name, visibility = visibility, **(given | kwargs))

    return called

_EMPTY = {
    "bool": False,
    "int": 0,
    "int_list": [],
    "label_keyed_string_dict": {},
    "label_list": [],
    "output_list": [],
    "string": "",
    "string_dict": {},
    "string_list": [],
    "string_list_dict": {},
}

def lamina_export(values):
    """Tell the rules and providers among the globals of a file their names."""
    rules = {}
    for name, value in values.items():
        if type(value) == "function" and "{}".format(value) == "<built-in>.made":
            value(lamina_export = name)
            rules[name] = value
    return rules

def aspect(implementation, **kwargs):
    return struct(lamina_kind = "Aspect")

def transition(*, implementation, inputs, outputs):
    return struct(lamina_kind = "transition")

def exec_group(**kwargs):
    return None

def configuration_field(fragment, name):
    return lambda: None

_CELLS = "write `name = \"its/folder\"` below `[cells]` in `lamina.toml`"

def repository_rule(implementation, **kwargs):
    return _absent("a repository rule", _CELLS)

def module_extension(implementation, **kwargs):
    return struct(lamina_kind = "module_extension")

def tag_class(attrs = {}, *, doc = ""):
    return struct(lamina_kind = "tag_class")

def subrule(implementation, **kwargs):
    return _absent("a subrule", "call its function from the implementation of the rule")

analysis_test_transition = transition

def visibility(value):
    """Who may load the file: anybody may, here."""

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
    )

def lamina_foreign(data):
    """A target of a built-in rule, or a source file."""
    label = struct(**data["label"])
    files = depset([_file(parts, label) for parts in data["files"]])
    executable = _file(data["executable"], label) if data["executable"] else None
    carried = depset([_file(parts, label) for parts in data["runfiles"]])
    targets = depset([data["text"]] if data["carries"] else [])
    runfiles = _runfiles(carried, depset(), depset(), targets)
    info = DefaultInfo(files = files, runfiles = runfiles, executable = executable)
    providers = {}
    if data["python"]:
        providers[PyInfo] = PyInfo(
            transitive_sources = depset([_file(parts, label) for parts in data["python"]["sources"]]),
            imports = depset(data["python"]["imports"]),
        )
    if data["cxx"]:
        providers[CcInfo] = _foreign_cc_info(data["cxx"], label)
    if data["setting"] != None:
        providers[BuildSettingInfo] = BuildSettingInfo(value = data["setting"])
    return _target(label, info, providers)

BuildSettingInfo = _built_in("BuildSettingInfo", fields = ["value"])

# C and C++: what a rule may read of a library, and hand on of headers.

def _compilation_context(
        headers = None,
        system_includes = None,
        includes = None,
        quote_includes = None,
        framework_includes = None,
        defines = None,
        local_defines = None,
        direct_headers = None,
        **accepted):
    given = lambda value: depset() if value == None else value if type(value) == "struct" else depset(value)
    headers = given(headers)
    return struct(
        lamina_kind = "CompilationContext",
        headers = headers,
        direct_headers = headers.to_list() if direct_headers == None else direct_headers,
        direct_public_headers = headers.to_list() if direct_headers == None else direct_headers,
        direct_private_headers = [],
        direct_textual_headers = [],
        includes = given(includes),
        quote_includes = given(quote_includes),
        system_includes = given(system_includes),
        framework_includes = given(framework_includes),
        external_includes = depset(),
        defines = given(defines),
        local_defines = given(local_defines),
    )

def _linking_context(user_link_flags = [], linker_inputs = None, **accepted):
    return struct(
        lamina_kind = "LinkingContext",
        linker_inputs = depset() if linker_inputs == None else linker_inputs,
        lamina_flags = user_link_flags,
    )

def _cc_info(compilation_context = None, linking_context = None, debug_context = None, lamina_targets = None):
    return dict(
        compilation_context = _compilation_context() if compilation_context == None else compilation_context,
        linking_context = _linking_context() if linking_context == None else linking_context,
        lamina_targets = depset() if lamina_targets == None else lamina_targets,
    )

CcInfo = _built_in("CcInfo", init = _cc_info)

def _foreign_cc_info(data, label):
    return CcInfo(
        compilation_context = _compilation_context(
            headers = depset([_file(parts, label) for parts in data["headers"]]),
            direct_headers = [_file(parts, label) for parts in data["direct"]],
            includes = depset(data["includes"]),
            quote_includes = depset(data["quote_includes"]),
            system_includes = depset(data["system_includes"]),
            defines = depset(data["defines"]),
        ),
        lamina_targets = depset([data["text"]]),
    )

def _merge_cc_infos(*, direct_cc_infos = [], cc_infos = []):
    every = direct_cc_infos + cc_infos
    contexts = [info.compilation_context for info in every]
    joined = lambda name: depset(transitive = [getattr(context, name) for context in contexts])
    direct = [info.compilation_context for info in direct_cc_infos]
    return CcInfo(
        compilation_context = _compilation_context(
            headers = joined("headers"),
            direct_headers = [header for context in direct for header in context.direct_headers],
            includes = joined("includes"),
            quote_includes = joined("quote_includes"),
            system_includes = joined("system_includes"),
            defines = joined("defines"),
        ),
        linking_context = _linking_context(
            linker_inputs = depset(transitive = [info.linking_context.linker_inputs for info in every]),
        ),
        lamina_targets = depset(transitive = [info.lamina_targets for info in every]),
    )

_BY_MACRO = "let a macro call `cc_library` or `cc_binary` for what the rule generates"

cc_common = struct(
    CcToolchainInfo = provider(),
    compile = _absent("cc_common.compile", _BY_MACRO),
    configure_features = _absent("cc_common.configure_features", _BY_MACRO),
    create_compilation_context = _compilation_context,
    create_library_to_link = _absent("cc_common.create_library_to_link", _BY_MACRO),
    create_linker_input = _absent("cc_common.create_linker_input", _BY_MACRO),
    create_linking_context = _linking_context,
    create_linking_context_from_compilation_outputs = _absent(
        "cc_common.create_linking_context_from_compilation_outputs",
        _BY_MACRO,
    ),
    do_not_use_tools_cpp_compiler_present = True,
    link = _absent("cc_common.link", _BY_MACRO),
    merge_cc_infos = _merge_cc_infos,
    merge_compilation_contexts = lambda *, compilation_contexts = []: _merge_cc_infos(
        cc_infos = [CcInfo(compilation_context = context) for context in compilation_contexts],
    ).compilation_context,
)

# The implementation of a rule is called, and what it gives is looked at.

def _analyse(implementation, attrs, provides, data, deps):
    label = struct(**data["label"])
    own = {path: _file(parts, label) for path, parts in data["outputs"].items()}
    values, one, many, programs = _attribute_values(attrs, data, deps, label, own)
    ctx = _context(data, label, own, values, one, many, programs)
    given = implementation(ctx)
    return _finished(given, provides, data, label, own)

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

def _context(data, label, own, values, one, many, programs):
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
        mine = _runfiles(
            depset(files or [], transitive = [transitive_files] if transitive_files != None else []),
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
        resolve_tools = _absent("ctx.resolve_tools", "give tools to `ctx.actions.run`"),
        runfiles = runfiles,
        split_attr = struct(),
        target_platform_has_constraint = lambda constraint: _host_has_constraint(lamina_text(constraint.label)) if hasattr(constraint, "label") else False,
        tokenize = _host_tokenize,
        toolchains = {},
        var = data["var"],
        version_file = None,
        workspace_name = data["workspace"],
    )

def _outputs(value, own):
    return [own[path] for path in value] if type(value) == "list" else own.get(value)

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

def _actions(data, label, own):
    def declare_file(filename, *, sibling = None):
        return _file(_host_declare(filename, sibling.path if sibling else "", False), label)

    def declare_directory(filename, *, sibling = None):
        return _file(_host_declare(filename, sibling.path if sibling else "", True), label)

    def run(
            *,
            outputs,
            executable,
            inputs = [],
            tools = [],
            arguments = [],
            mnemonic = "",
            progress_message = "",
            env = {},
            use_default_shell_env = False,
            execution_requirements = {},
            **accepted):
        _accepted("run", accepted)
        program = executable
        used = _paths(tools, "`tools`")
        if _is_struct(executable, "FilesToRunProvider"):
            program = executable.executable
        if type(program) == "struct":
            program = _check(program, "File", "`executable`").path
            used = used + [program]
        _host_action({
            "arguments": [{"texts": [program]}] + _given_arguments(arguments),
            "inputs": _paths(inputs, "`inputs`"),
            "outputs": _paths(outputs, "`outputs`"),
            "tools": used,
            "mnemonic": mnemonic or "Action",
            "message": progress_message or "",
            "env": env or {},
            "requirements": execution_requirements or {},
        })

    def run_shell(
            *,
            outputs,
            command,
            inputs = [],
            tools = [],
            arguments = [],
            mnemonic = "",
            progress_message = "",
            env = {},
            use_default_shell_env = False,
            execution_requirements = {},
            **accepted):
        _accepted("run_shell", accepted)
        _host_action({
            "arguments": [{"texts": ["/bin/bash", "-c", command, ""]}] + _given_arguments(arguments),
            "inputs": _paths(inputs, "`inputs`"),
            "outputs": _paths(outputs, "`outputs`"),
            "tools": _paths(tools, "`tools`"),
            "mnemonic": mnemonic or "Action",
            "message": progress_message or "",
            "env": env or {},
            "requirements": execution_requirements or {},
        })

    def write(output, content, is_executable = False, *, mnemonic = ""):
        if _is_struct(content, "Args"):
            content = "".join([line + "\n" for line in content.lamina_items()[0]["texts"]])
        _host_write(_check(output, "File", "`output`").path, content, is_executable)

    def symlink(
            *,
            output,
            target_file = None,
            target_path = None,
            is_executable = False,
            progress_message = "",
            **accepted):
        if target_file == None:
            _host_action({
                "arguments": [{"texts": ["/bin/ln", "-s", target_path, output.path]}],
                "inputs": [],
                "outputs": [output.path],
                "tools": [],
                "mnemonic": "Symlink",
                "message": "",
                "env": {},
                "requirements": {},
            })
        else:
            _host_same(output.path, _check(target_file, "File", "`target_file`").path)

    def expand_template(*, template, output, substitutions = {}, is_executable = False, computed_substitutions = None):
        if computed_substitutions != None:
            substitutions = substitutions | computed_substitutions.lamina_values
        _host_template(
            _check(template, "File", "`template`").path,
            _check(output, "File", "`output`").path,
            [[key, value] for key, value in substitutions.items()],
            is_executable,
        )

    return struct(
        args = _args,
        declare_directory = declare_directory,
        declare_file = declare_file,
        declare_symlink = declare_file,
        do_nothing = lambda **kwargs: None,
        expand_template = expand_template,
        run = run,
        run_shell = run_shell,
        symlink = symlink,
        template_dict = _template_dict,
        write = write,
    )

def _template_dict():
    values = {}

    def add(key, value):
        values[key] = value
        return made

    def add_joined(key, values_of, *, join_with, map_each, uniquify = False, format_joined = None, allow_closure = False):
        return add(key, join_with.join(_mapped(values_of.to_list(), map_each, None, uniquify)))

    made = struct(add = add, add_joined = add_joined, lamina_values = values)
    return made

_ACCEPTED_BY_ACTIONS = {
    name: None
    for name in [
        "exec_group",
        "input_manifests",
        "resource_set",
        "shadowed_action",
        "toolchain",
        "unused_inputs_list",
    ]
}

def _accepted(function, names):
    for name in names:
        if name not in _ACCEPTED_BY_ACTIONS:
            fail("`ctx.actions.{}` has no argument `{}`".format(function, name))

def _given_arguments(arguments):
    """Parts of a command line, each texts and perhaps how they go into a file of parameters."""
    found = []
    for argument in arguments:
        if _is_struct(argument, "Args"):
            found += argument.lamina_items()
        elif type(argument) == "string":
            found.append({"texts": [argument]})
        else:
            fail("`arguments` takes strings and `ctx.actions.args()`, not a {}".format(lamina_type(argument)))
    return found

def _word(value):
    if type(value) == "string":
        return value
    if _is_struct(value, "File"):
        return value.path
    return lamina_str(value)

def _formatted(text, format):
    return format.replace("%%", "\0").replace("%s", text).replace("\0", "%") if format else text

def _mapped(values, map_each, format_each, uniquify):
    """The words that the values of `add_all` and `add_joined` stand for."""
    words = []
    for value in values:
        found = value
        if map_each:
            found = map_each(value)
            if found == None:
                continue
        for word in found if type(found) in ("list", "tuple") else [found]:
            words.append(_formatted(_word(word), format_each))
    return list({word: None for word in words}) if uniquify else words

def _values_of(given, what):
    """The argument name, if there is one, and the values of `add_all` and `add_joined`."""
    if len(given) == 2:
        name, values = given
    else:
        name, values = None, given[0]
    if type(values) == "struct":
        values = _check(values, "depset", what).to_list()
    return name, values

def _refuse_folders(values, expand, map_each):
    for value in values if expand and not map_each else []:
        if _is_struct(value, "File") and value.is_directory:
            fail("what is in the folder `{}` is not known yet: write `expand_directories = False`".format(value.path))

def _args():
    texts, state = [], {}

    def add(*given, value = None, arg_name_or_value = None, format = None):
        given = list(given)
        if arg_name_or_value != None:
            given.append(arg_name_or_value)
        if value != None:
            given.append(value)
        if len(given) not in (1, 2):
            fail("`add` takes a value, or a name and a value")
        if type(given[-1]) in ("list", "tuple", "dict") or _is_struct(given[-1], "depset"):
            fail("`add` takes one value: use `add_all` for a {}".format(lamina_type(given[-1])))
        if len(given) == 2:
            texts.append(given[0])
        texts.append(_formatted(_word(given[-1]), format))
        return made

    def add_all(
            *given,
            values = None,
            map_each = None,
            format_each = None,
            before_each = None,
            omit_if_empty = True,
            uniquify = False,
            expand_directories = True,
            terminate_with = None,
            allow_closure = False):
        given = list(given) + ([values] if values != None else [])
        name, values = _values_of(given, "`add_all`")
        _refuse_folders(values, expand_directories, map_each)
        words = _mapped(values, map_each, format_each, uniquify)
        if not words and omit_if_empty:
            return made
        if name != None:
            texts.append(name)
        for word in words:
            if before_each != None:
                texts.append(before_each)
            texts.append(word)
        if terminate_with != None:
            texts.append(terminate_with)
        return made

    def add_joined(
            *given,
            values = None,
            join_with,
            map_each = None,
            format_each = None,
            format_joined = None,
            omit_if_empty = True,
            uniquify = False,
            expand_directories = True,
            allow_closure = False):
        given = list(given) + ([values] if values != None else [])
        name, values = _values_of(given, "`add_joined`")
        _refuse_folders(values, expand_directories, map_each)
        words = _mapped(values, map_each, format_each, uniquify)
        if not words and omit_if_empty:
            return made
        if name != None:
            texts.append(name)
        texts.append(_formatted(join_with.join(words), format_joined))
        return made

    def use_param_file(param_file_arg, *, use_always = False):
        state.update({"file": param_file_arg, "always": use_always})
        return made

    def set_param_file_format(format):
        state["format"] = format
        return made

    made = struct(
        lamina_kind = "Args",
        lamina_items = lambda: [{"texts": texts} | state],
        add = add,
        add_all = add_all,
        add_joined = add_joined,
        set_param_file_format = set_param_file_format,
        use_param_file = use_param_file,
    )
    return made

def _finished(given, provides, data, label, own):
    """The target that the providers of an implementation make; tells the program of it."""
    providers, old = _providers(given)
    for key in provides:
        if key not in providers and key != DefaultInfo:
            fail("the rule says that it provides `{}`, and gives none".format(_name_of(key)))
    info = providers.get(DefaultInfo) or DefaultInfo(**old)
    executable = info.files_to_run.executable
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
    _host_finish({
        "files": _paths(files, "`files`"),
        "executable": executable.path if executable else "",
        "needs_runfiles": executable != None or info.default_runfiles != None or info.data_runfiles != None,
        "runfiles": _paths(carried[0], "`runfiles`"),
        "symlinks": [[link.path, link.target_file.path] for link in carried[1].to_list() + carried[2].to_list()],
        "targets": carried[3].to_list(),
        "environment": _environment(providers),
        "python": _python_part(providers),
        "cxx": _cxx_part(providers),
    })
    names = _runfiles(depset(), depset(), depset(), depset([data["text"]]))
    shown = DefaultInfo(
        files = full.files,
        default_runfiles = full.default_runfiles.merge(names),
        data_runfiles = full.data_runfiles.merge(names),
        executable = _file(_host_tool(executable.path), label) if executable else None,
    )
    return _target(label, shown, {key: value for key, value in providers.items() if key != DefaultInfo})

def _providers(given):
    """Providers by key, from a list or from the struct that older rules return."""
    old = {}
    if type(given) == "struct" and not hasattr(given, "lamina_provider"):
        old = {name: getattr(given, name) for name in ("files", "runfiles", "executable") if hasattr(given, name)}
        given = getattr(given, "providers", [])
    elif type(given) == "struct":
        given = [given]
    found = {}
    for instance in given or []:
        if type(instance) in ("list", "tuple"):
            found.update(_providers(instance)[0])
            continue
        if type(instance) != "struct" or not hasattr(instance, "lamina_provider"):
            fail("an implementation returns providers, not a {}".format(lamina_type(instance)))
        if instance.lamina_provider in found:
            fail("it returns the provider `{}` twice".format(_name_of(instance.lamina_provider)))
        found[instance.lamina_provider] = instance
    return found, old

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
