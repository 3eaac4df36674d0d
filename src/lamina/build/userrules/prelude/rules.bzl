"""`rule`, the attributes of rules, and what stands beside them in .bzl files."""

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
    if type(name) != "string":
        fail("the names in `attrs` are strings, not `{}`".format(name))
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
        toolchains = [],
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
    chosen = _host_toolchains([lamina_str(kind) for kind in toolchains])
    attrs = attrs | {
        name: _attribute("label", default = label, providers = [_ToolchainInfo])
        for name, label in chosen.values()
    }
    spec = {
        "attributes": {name: _specified(name, a) for name, a in attrs.items() if a != None},
        "outputs": {} if absent else (outputs or {}),
        "executable": executable or test or analysis_test,
        "test": test or analysis_test,
        "doc": doc or "",
        "setting": build_setting.type if build_setting else "",
        "absent": absent,
        "unchosen": [lamina_str(kind) for kind in toolchains if lamina_str(kind) not in chosen],
    }
    number = _host_new_rule(spec)

    def made(*args, **kwargs):
        if "lamina_export" in kwargs:
            return _host_name_rule(number, kwargs["lamina_export"])
        if "lamina_analyse" in kwargs:
            needed = [(kind, chosen[lamina_str(kind)][0]) for kind in toolchains if lamina_str(kind) in chosen]
            return _analyse(implementation, attrs, provides, needed, *kwargs["lamina_analyse"])
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
        "_skylark_testable",
        "subrules",
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

def analysis_test_transition(*, settings):
    return struct(lamina_kind = "transition")

def visibility(value):
    """Who may load the file: anybody may, here."""
