def model(name):
    native.filegroup(name = name, srcs = ["layer" + 1])
