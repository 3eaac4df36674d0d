def library(name):
    native.filegroup(name = name)
