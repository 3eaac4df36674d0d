"""C and C++: libraries, extension modules of Python, programs, and what comes ready-made."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lamina.build.attributes import Attribute, Kind
from lamina.build.rule import Rule
from lamina.build.rules.cxx_prebuilt import prebuilt, shared_library
from lamina.build.rules.cxx_targets import binary, extension, library
from lamina.build.rules.running import RUNNING

__all__ = ["ALIASES", "BINARY", "RULES", "binary"]


def _ignored(words: str) -> dict[str, Attribute]:
    """Attributes that say nothing on Linux, or nothing to this tool."""
    return {name: Attribute(Kind.ANY) for name in words.split()}


_HEADERS = {
    "exported_headers": Attribute(Kind.SOURCES, doc="headers for it and all who depend on it"),
    "textual_hdrs": Attribute(Kind.SOURCES, doc="the same, for such that do not stand alone"),
    "raw_headers": Attribute(Kind.SOURCES, doc="the same, found by their path alone"),
    "includes": Attribute(Kind.STRING_LIST, doc="include folders, for it and its dependents"),
    "public_include_directories": Attribute(
        Kind.STRING_LIST, doc="include folders, for it and its dependents, before `includes`"
    ),
    "public_system_include_directories": Attribute(Kind.STRING_LIST, doc="as `includes`"),
    "strip_include_prefix": Attribute(
        Kind.STRING, doc="what its headers' paths lose; `/…` starts at the root"
    ),
    "include_prefix": Attribute(Kind.STRING, doc="what its headers' paths get in front"),
    "header_namespace": Attribute(
        Kind.STRING, doc="what its headers' paths start with in place of the build package"
    ),
    "exported_header_style": Attribute(Kind.STRING, doc='`"system"`: no warnings from headers'),
    "defines": Attribute(Kind.STRING_LIST, doc="macros, for it and its dependents"),
    "exported_preprocessor_flags": Attribute(Kind.STRING_LIST, doc="for it and its dependents"),
    "exported_lang_preprocessor_flags": Attribute(Kind.LIST_DICT, doc="the same, by language"),
}
_COMPILING = {
    "srcs": Attribute(
        Kind.FLAGGED_SOURCES,
        doc="C, C++ and assembler files, objects, libraries, headers for its own headers",
    ),
    "headers": Attribute(Kind.SOURCES, doc="headers for the target itself"),
    **_HEADERS,
    "deps": Attribute(Kind.LABEL_LIST, doc="libraries; linker scripts"),
    "implementation_deps": Attribute(
        Kind.LABEL_LIST, doc="libraries whose headers dependents do not see"
    ),
    "include_directories": Attribute(Kind.STRING_LIST, doc="include folders, for its own sources"),
    "copts": Attribute(Kind.STRING_LIST, doc="for its own sources, split as a shell does"),
    "conlyopts": Attribute(Kind.STRING_LIST, doc="the same, for C alone"),
    "cxxopts": Attribute(Kind.STRING_LIST, doc="the same, for C++ alone"),
    "compiler_flags": Attribute(Kind.STRING_LIST, doc="for its own sources, word by word"),
    "lang_compiler_flags": Attribute(Kind.LIST_DICT, doc="the same, by language: `c`, `cxx` …"),
    "preprocessor_flags": Attribute(Kind.STRING_LIST, doc="for its own sources"),
    "lang_preprocessor_flags": Attribute(Kind.LIST_DICT, doc="the same, by language"),
    "local_defines": Attribute(Kind.STRING_LIST, doc="macros, for its own sources"),
    "additional_compiler_inputs": Attribute(Kind.SOURCES, doc="files that these flags name"),
    "resources": Attribute(Kind.SOURCES, doc="files it reads when it runs"),
    "features": Attribute(
        Kind.STRING_LIST, doc="`no_copts_tokenization` and `fully_static_link` are known"
    ),
    **_ignored(
        "win_def_file hdrs_check nocopts module_interfaces within_view default_platform defaults"
        " frameworks libraries thin_lto enable_distributed_thinlto supported_platforms_regex"
    ),
}
_LINKING = {
    "linkopts": Attribute(Kind.STRING_LIST, doc="for the link, split as a shell does"),
    "linker_flags": Attribute(
        Kind.STRING_LIST, doc="for the link that its objects are in, word by word"
    ),
    "post_linker_flags": Attribute(Kind.STRING_LIST, doc="the same, after all others"),
    "local_linker_flags": Attribute(Kind.STRING_LIST, doc="for the link of it alone"),
    "exported_linker_flags": Attribute(Kind.STRING_LIST, doc="for every link it is in"),
    "exported_post_linker_flags": Attribute(Kind.STRING_LIST, doc="the same, after all others"),
    "additional_linker_inputs": Attribute(Kind.SOURCES, doc="files that these flags name"),
    **_ignored("linker_extra_outputs link_group link_group_map version_universe"),
}
_FORMS = {
    "linkstatic": Attribute(Kind.BOOLEAN, doc="there is no shared library of it"),
    "force_static": Attribute(Kind.BOOLEAN, doc="as `linkstatic`"),
    "preferred_linkage": Attribute(Kind.STRING, doc='`"static"` or `"shared"`: there is no other'),
    "link_whole": Attribute(Kind.BOOLEAN, doc="all of it is linked, be it called or not"),
    "soname": Attribute(Kind.STRING, doc="file name of the shared library"),
    "exported_deps": Attribute(Kind.LABEL_LIST, doc="libraries whose headers are its own"),
}
_ALIASES = {
    "hdrs": "exported_headers",
    "data": "resources",
    "alwayslink": "link_whole",
    "interface_deps": "exported_deps",
}

BINARY: Mapping[str, Attribute] = MappingProxyType(
    {
        **_COMPILING,
        **_LINKING,
        "link_style": Attribute(
            Kind.STRING, doc='`"static"`, the default, or `"shared"`: a layer for each library'
        ),
        "linkstatic": Attribute(Kind.BOOLEAN, doc='`False` is `link_style = "shared"`'),
        "linkshared": Attribute(Kind.BOOLEAN, doc="make a shared library of the target's name"),
        "dynamic_deps": Attribute(Kind.LABEL_LIST, doc="`cc_shared_library` to load"),
        "malloc": Attribute(Kind.LABEL, doc="library that has `malloc`"),
        **RUNNING,
        **_ignored(
            "stamp link_extra_lib reexport_deps output_licenses executable_name transform_outputs"
        ),
    }
)
ALIASES: Mapping[str, str] = MappingProxyType({"hdrs": "exported_headers", "data": "resources"})

RULES = (
    Rule(
        "cxx_library",
        {
            **_COMPILING,
            **_LINKING,
            **_FORMS,
            **_ignored(
                "linkstamp header_only tests reexport_all_header_dependencies can_be_asset"
                " supports_merged_linking supports_python_dlopen supports_shlib_interfaces"
                " uses_cxx_explicit_external uses_explicit_thread_local allow_cache_upload"
            ),
        },
        library,
        aliases=_ALIASES,
        names=("cc_library",),
        doc="A library: an archive, a shared library, or headers alone.",
    ),
    Rule(
        "cxx_python_extension",
        {
            **_COMPILING,
            **_LINKING,
            "base_module": Attribute(Kind.STRING, doc="Python package it is imported from"),
            "module_name": Attribute(Kind.STRING, doc="last part of its import name"),
            "type_stub": Attribute(Kind.SOURCE, doc="its `.pyi` file"),
            **_ignored("allow_embedding allow_suffixing link_style linkstatic linkshared"),
        },
        extension,
        aliases={"hdrs": "exported_headers", "data": "resources"},
        names=("pybind_extension",),
        doc="An extension module for Python.",
    ),
    Rule(
        "cxx_binary",
        BINARY,
        binary,
        aliases=ALIASES,
        names=("cc_binary",),
        doc="A program.",
    ),
    Rule(
        "prebuilt_cxx_library",
        {
            "static_lib": Attribute(Kind.SOURCE, doc="the archive"),
            "static_pic_lib": Attribute(Kind.SOURCE, doc="the archive, in preference to that"),
            "shared_lib": Attribute(Kind.SOURCE, doc="the shared library"),
            "interface_library": Attribute(
                Kind.SOURCE, doc="what is linked against in place of the shared library"
            ),
            "soname": Attribute(
                Kind.STRING,
                doc="name by which the shared library is loaded, if not that of its file",
            ),
            "provided": Attribute(Kind.BOOLEAN, doc="the machine has it when the program runs"),
            "header_only": Attribute(Kind.BOOLEAN, doc="there is nothing to link"),
            "header_dirs": Attribute(Kind.SOURCES, doc="folders that headers are found in"),
            **_HEADERS,
            "deps": Attribute(Kind.LABEL_LIST, doc="libraries it needs"),
            "linkopts": _LINKING["linkopts"],
            "exported_linker_flags": _LINKING["exported_linker_flags"],
            "exported_post_linker_flags": _LINKING["exported_post_linker_flags"],
            "additional_linker_inputs": _LINKING["additional_linker_inputs"],
            "resources": _COMPILING["resources"],
            "features": _COMPILING["features"],
            **{name: each for name, each in _FORMS.items() if name != "soname"},
            **_ignored(
                "import_lib link_without_soname extract_soname can_be_asset supports_lto"
                " supports_merged_linking supports_python_dlopen supported_platforms_regex"
            ),
        },
        prebuilt,
        aliases={
            **_ALIASES,
            "static_library": "static_lib",
            "shared_library": "shared_lib",
            "shared_interface_library": "interface_library",
            "system_provided": "provided",
            "versioned_soname": "soname",
        },
        names=("cc_import",),
        doc="A library that somebody else has built.",
    ),
    Rule(
        "cc_shared_library",
        {
            "deps": Attribute(Kind.LABEL_LIST, doc="libraries whose code it has, all of it"),
            "roots": Attribute(Kind.LABEL_LIST, doc="older name of `deps`"),
            "dynamic_deps": Attribute(
                Kind.LABEL_LIST, doc="others of its kind; what they have is not taken in again"
            ),
            "shared_lib_name": Attribute(Kind.STRING, doc="file name; `lib<name>.so` by default"),
            "user_link_flags": _LINKING["linkopts"],
            "linkopts": _LINKING["linkopts"],
            "additional_linker_inputs": _LINKING["additional_linker_inputs"],
            "resources": _COMPILING["resources"],
            "features": _COMPILING["features"],
            **_ignored("exports_filter win_def_file static_deps"),
        },
        shared_library,
        aliases={"data": "resources"},
        doc="One shared library of several libraries.",
    ),
)
