"""`analysis_test`: a test that passes once its targets are analysed; they are built as well."""

def analysis_test(name, targets, **kwargs):
    native.build_test(name = name, targets = targets, **kwargs)
