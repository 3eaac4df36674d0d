"""`CcInfo`: what compiling against a C or C++ library takes."""

CcInfo = CcInfo
