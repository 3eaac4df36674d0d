"""`build_test`: a test that passes once its targets are built."""

def build_test(name, targets, **kwargs):
    native.build_test(name = name, targets = targets, **kwargs)
