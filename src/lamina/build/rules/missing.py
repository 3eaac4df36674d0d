"""Rules that files of other tools call and that are not here: those of further languages.

Their targets are known, so that the rest of a BUILD file is loaded; none of them can be built.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from lamina.build.analysis import Context
from lamina.build.attributes import Attribute, Kind
from lamina.build.providers import Analysed
from lamina.build.rule import Rule
from lamina.core.classes import replace

# What can be followed in queries. Anything else may be given too, and a value that does not fit is
# no fault: what the rule wants there is not known.
_ATTRIBUTES = {
    name: Attribute(Kind.SOURCES)
    for name in ("srcs", "hdrs", "deps", "exported_deps", "runtime_deps", "exports", "data")
}
_PROTOC = "call `protoc` in a `genrule`, and give what it makes to a library"
_TOOLCHAINS = "`[cxx]` and `[python]` in `lamina.toml` name compilers and interpreter"

# What for -> its rules, by the names of both dialects.
_NAMES: Mapping[str, str] = {
    "Java": """
        gwt_binary jar_genrule java_annotation_processor java_binary java_import java_library
        java_lite_proto_library java_package_configuration java_plugin java_plugins_flag_alias
        java_proto_library java_runtime java_test java_toolchain keystore prebuilt_jar
    """,
    "Kotlin, Scala and Groovy": """
        groovy_library groovy_test kotlin_library kotlin_test scala_library scala_test
    """,
    "Android": """
        aar_import android_aar android_binary android_build_config android_device
        android_device_script_fixture android_host_service_fixture android_instrumentation_apk
        android_instrumentation_test android_library android_local_test android_manifest
        android_prebuilt_aar android_resource android_sdk apk_genrule gen_aidl ndk_library
        prebuilt_native_library robolectric_test
    """,
    "platforms of Apple": """
        apple_asset_catalog apple_binary apple_bundle apple_cc_toolchain apple_library
        apple_package apple_resource apple_static_library apple_test available_xcodes
        core_data_model j2objc_library objc_import objc_library objc_proto_library
        prebuilt_apple_framework scene_kit_assets swift_library xcode_config xcode_config_alias
        xcode_prebuild_script xcode_version xcode_workspace_config
    """,
    "Rust": "prebuilt_rust_library rust_binary rust_library rust_test",
    "Go": "cgo_library go_binary go_exported_library go_library go_test prebuilt_go_library",
    "C#": "csharp_library prebuilt_dotnet_library",
    "D": "d_binary d_library d_test",
    "Haskell": "haskell_binary haskell_ghci haskell_library haskell_prebuilt_library",
    "JavaScript": "js_bundle js_bundle_genrule js_library",
    "Lua": "cxx_lua_extension lua_binary lua_library",
    "OCaml": "ocaml_binary ocaml_library prebuilt_ocaml_library",
    "protocol buffers": """
        cc_lite_proto_library cc_proto_library proto_lang_toolchain proto_library
    """,
    "toolchains": """
        cc_host_toolchain_alias cc_libc_top_alias cc_toolchain cc_toolchain_alias
        cc_toolchain_suite fdo_prefetch_hints fdo_profile propeller_optimize py_runtime toolchain
        toolchain_type
    """,
    "downloads": "git",
    "actions on actions": "action_listener extra_action",
    "environments": "environment environment_group",
    "queries": "genquery",
}
_HINTS: Mapping[str, str] = {"protocol buffers": _PROTOC, "toolchains": _TOOLCHAINS}


def _never(ctx: Context) -> Analysed:
    raise AssertionError(f"{ctx.label} was to be left out")


@cache
def rule(name: str, missing: str) -> Rule:
    """The rule of this name, for the want of something: `rules for Java`, a cell as `@rules_go`."""
    return Rule(name, _ATTRIBUTES, _never, missing=missing)


RULES = tuple(
    replace(rule(name, f"rules for {purpose}"), doc=_HINTS.get(purpose, ""))
    for purpose, names in _NAMES.items()
    for name in names.split()
)
