"""C and C++: what a rule may read of a library, and hand on of headers."""

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
    create_cc_toolchain_config_info = lambda **described: CcToolchainConfigInfo(),
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

def lamina_foreign(text):
    """A target of a built-in rule, or a source file."""
    data = _decode(text)
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
