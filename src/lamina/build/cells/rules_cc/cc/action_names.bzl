"""What compiling and linking are called by those who ask for their flags."""

C_COMPILE_ACTION_NAME = "c-compile"
CPP_COMPILE_ACTION_NAME = "c++-compile"
ASSEMBLE_ACTION_NAME = "assemble"
PREPROCESS_ASSEMBLE_ACTION_NAME = "preprocess-assemble"
CPP_LINK_EXECUTABLE_ACTION_NAME = "c++-link-executable"
CPP_LINK_DYNAMIC_LIBRARY_ACTION_NAME = "c++-link-dynamic-library"
CPP_LINK_NODEPS_DYNAMIC_LIBRARY_ACTION_NAME = "c++-link-nodeps-dynamic-library"
CPP_LINK_STATIC_LIBRARY_ACTION_NAME = "c++-link-static-library"
STRIP_ACTION_NAME = "strip"

ACTION_NAMES = struct(
    c_compile = C_COMPILE_ACTION_NAME,
    cpp_compile = CPP_COMPILE_ACTION_NAME,
    assemble = ASSEMBLE_ACTION_NAME,
    preprocess_assemble = PREPROCESS_ASSEMBLE_ACTION_NAME,
    cpp_link_executable = CPP_LINK_EXECUTABLE_ACTION_NAME,
    cpp_link_dynamic_library = CPP_LINK_DYNAMIC_LIBRARY_ACTION_NAME,
    cpp_link_nodeps_dynamic_library = CPP_LINK_NODEPS_DYNAMIC_LIBRARY_ACTION_NAME,
    cpp_link_static_library = CPP_LINK_STATIC_LIBRARY_ACTION_NAME,
    strip = STRIP_ACTION_NAME,
)
