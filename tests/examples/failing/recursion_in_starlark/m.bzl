def again(n):
    if n:
        again(n - 1)
    else:
        native.filegroup(name = "x", srcs = 5)
