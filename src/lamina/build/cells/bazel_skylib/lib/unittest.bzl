"""Tests of functions in .bzl files: they run when the target is analysed.

A test that fails says why when it is run, so that the others still are.
"""

def _begin(ctx):
    return struct(ctx = ctx, failures = [])

def _end(env):
    script = env.ctx.actions.declare_file(env.ctx.label.name + ".sh")
    lines = ["echo '{}'".format(text.replace("'", "'\\''")) for text in env.failures]
    lines.append("exit {}".format(1 if env.failures else 0))
    env.ctx.actions.write(script, "#!/bin/sh\n" + "\n".join(lines) + "\n", is_executable = True)
    return [DefaultInfo(executable = script)]

def _make(impl, attrs = {}, doc = "", toolchains = []):
    return rule(implementation = impl, doc = doc, attrs = attrs, test = True)

def _suite(name, *test_rules, **kwargs):
    names = []
    for number, test_rule in enumerate(test_rules):
        names.append("{}_test_{}".format(name, number))
        # `partial.make(test_rule, size = "small")` is one as well.
        if type(test_rule) == "struct":
            test_rule.function(name = names[-1], *test_rule.args, **test_rule.kwargs)
        else:
            test_rule(name = names[-1])
    native.test_suite(name = name, tests = [":" + each for each in names], **kwargs)

def _fail(env, msg):
    env.failures.append("{}: {}".format(env.ctx.label.name, msg))

unittest = struct(
    begin = _begin,
    end = _end,
    fail = _fail,
    make = _make,
    suite = _suite,
)

def _analysis_make(impl, expect_failure = False, attrs = {}, fragments = [], config_settings = {}, extra_target_under_test_aspects = [], doc = ""):
    if expect_failure or config_settings or extra_target_under_test_aspects:
        fail("`analysistest` takes no `expect_failure`, `config_settings` or aspects here")
    under_test = {"target_under_test": attr.label(mandatory = True, allow_files = True)}
    return rule(implementation = impl, doc = doc, attrs = attrs | under_test, test = True)

def _target_actions(env):
    fail("the actions of a target under test are not known here")

analysistest = struct(
    begin = _begin,
    end = _end,
    fail = _fail,
    make = _analysis_make,
    target_actions = _target_actions,
    target_under_test = lambda env: env.ctx.attr.target_under_test,
)

def _expect(env, holds, msg, otherwise):
    if not holds:
        _fail(env, "{} ({})".format(msg, otherwise) if msg else otherwise)

def _true(env, condition, msg = "Expected condition to be true, but was false."):
    _expect(env, condition, "", msg)

def _false(env, condition, msg = "Expected condition to be false, but was true."):
    _expect(env, not condition, "", msg)

def _equals(env, expected, actual, msg = None):
    _expect(env, expected == actual, msg, 'expected "{}", but got "{}"'.format(expected, actual))

def _set_equals(env, expected, actual, msg = None):
    both = sorted([repr(e) for e in expected._values]) == sorted([repr(e) for e in actual._values])
    _expect(env, both, msg, 'expected "{}", but got "{}"'.format(list(expected._values), list(actual._values)))

def _new_set_equals(env, expected, actual, msg = None):
    _set_equals(env, expected, actual, msg)

asserts = struct(
    equals = _equals,
    expect_failure = lambda env, expected_failure_msg = "": fail("a target that fails is not analysed here"),
    false = _false,
    new_set_equals = _new_set_equals,
    set_equals = _set_equals,
    true = _true,
)

loadingtest = struct(
    equals = lambda env, test_case, expected, actual: _loading_equals(env, test_case, expected, actual),
    make = lambda name, **kwargs: struct(name = name, **kwargs),
)

def _loading_equals(env, test_case, expected, actual):
    name = "{}_{}".format(env.name, test_case)
    if expected != actual:
        fail("{}: expected `{}`, but got `{}`".format(name, expected, actual))
    native.build_test(name = name, targets = [])

def register_unittest_toolchains():
    """There is one toolchain for all."""
