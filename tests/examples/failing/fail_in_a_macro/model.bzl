def model(name, size):
    if size <= 0:
        fail("a model needs a size, not", size)
    native.filegroup(name = name)
