"""`select()` with several conditions for one value, and conditions made of conditions."""

def _with_or_dict(input_dict):
    plain = {}
    for conditions, value in input_dict.items():
        for condition in conditions if type(conditions) == "tuple" else (conditions,):
            if condition in plain:
                fail("the condition `{}` is there twice".format(condition))
            plain[condition] = value
    return plain

def _with_or(input_dict, no_match_error = ""):
    return select(_with_or_dict(input_dict), no_match_error = no_match_error)

def _config_setting_group(name, match_any = [], match_all = [], visibility = None, **kwargs):
    native.config_setting_group(
        name = name,
        match_any = match_any,
        match_all = match_all,
        visibility = visibility,
        **kwargs
    )

selects = struct(
    config_setting_group = _config_setting_group,
    with_or = _with_or,
    with_or_dict = _with_or_dict,
)
