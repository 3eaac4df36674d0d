"""The parts of a description of a toolchain; which one is used is said in `lamina.toml`."""

def _part(name):
    return lambda **fields: struct(type_name = name, **fields)

action_config = _part("action_config")
artifact_name_pattern = _part("artifact_name_pattern")
env_entry = _part("env_entry")
env_set = _part("env_set")
feature = _part("feature")
feature_set = _part("feature_set")
flag_group = _part("flag_group")
flag_set = _part("flag_set")
make_variable = _part("make_variable")
tool = _part("tool")
tool_path = _part("tool_path")
variable_with_value = _part("variable_with_value")
with_feature_set = _part("with_feature_set")
