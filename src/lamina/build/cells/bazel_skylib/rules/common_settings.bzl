"""Flags that the command line sets, as `--//folder:name=value`, and settings that it does not."""

BuildSettingInfo = BuildSettingInfo

bool_flag = native.bool_flag
bool_setting = native.bool_setting
int_flag = native.int_flag
int_setting = native.int_setting
string_flag = native.string_flag
string_list_flag = native.string_list_flag
string_list_setting = native.string_list_setting
string_setting = native.string_setting

def repeatable_string_flag(name, **kwargs):
    native.string_list_flag(name = name, repeatable = True, **kwargs)
