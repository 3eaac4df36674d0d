"""`ctx.actions`: files and commands that an implementation declares."""

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
        if type(program) != "string":
            program = _check(program, "File", "`executable`").path
            used = used + [program]
        _host_action({
            "arguments": [{"texts": [program]}] + _given_arguments(arguments),
            "inputs": _paths(inputs, "`inputs`"),
            "outputs": _paths(outputs, "`outputs`"),
            "tools": used,
            "mnemonic": mnemonic or "Action",
            "message": progress_message or "",
            "env": {name: _text(value, "`env`") for name, value in (env or {}).items()},
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
        _text(command, "`command`")
        _host_action({
            "arguments": [{"texts": ["/bin/bash", "-c", command, ""]}] + _given_arguments(arguments),
            "inputs": _paths(inputs, "`inputs`"),
            "outputs": _paths(outputs, "`outputs`"),
            "tools": _paths(tools, "`tools`"),
            "mnemonic": mnemonic or "Action",
            "message": progress_message or "",
            "env": {name: _text(value, "`env`") for name, value in (env or {}).items()},
            "requirements": execution_requirements or {},
        })

    def write(output, content, is_executable = False, *, mnemonic = ""):
        if _is_struct(content, "Args"):
            content = "".join([line + "\n" for line in content.lamina_items()[0]["texts"]])
        _text(content, "`content`")
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

def _text(value, what):
    if type(value) != "string":
        fail("{} takes a string, not a `{}`".format(what, lamina_type(value)))
    return value

def _given_arguments(arguments):
    """Parts of a command line, each texts and perhaps how they go into a file of parameters."""
    found = []
    for argument in arguments:
        if _is_struct(argument, "Args"):
            found += argument.lamina_items()
        elif type(argument) == "string":
            found.append({"texts": [argument]})
        else:
            fail("`arguments` takes strings and `ctx.actions.args()`, not a `{}`".format(lamina_type(argument)))
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
