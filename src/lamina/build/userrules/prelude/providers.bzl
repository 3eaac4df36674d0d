"""Providers: those of users, and those that everybody knows."""

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

AnalysisTestResultInfo = _built_in("AnalysisTestResultInfo", fields = ["success", "message"])

# Those that rules ask for in vain: no target here has them.
AnalysisFailureInfo = _built_in("AnalysisFailureInfo")
CcToolchainConfigInfo = _built_in("CcToolchainConfigInfo")
DebugPackageInfo = _built_in("DebugPackageInfo")
JavaInfo = _built_in("JavaInfo")
JavaPluginInfo = _built_in("JavaPluginInfo")
ProtoInfo = _built_in("ProtoInfo")
PyRuntimeInfo = _built_in("PyRuntimeInfo")
apple_common = struct(
    AppleDebugOutputs = _built_in("AppleDebugOutputs"),
    Objc = _built_in("Objc"),
    XcodeVersionConfig = _built_in("XcodeVersionConfig"),
)
java_common = struct(
    JavaRuntimeInfo = _built_in("JavaRuntimeInfo"),
    JavaToolchainInfo = _built_in("JavaToolchainInfo"),
    provider = JavaInfo,
)
proto_common = struct()

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
