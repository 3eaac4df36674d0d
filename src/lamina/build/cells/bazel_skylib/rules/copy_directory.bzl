"""`copy_directory`: a folder under another name."""

def copy_directory(name, src, out, **kwargs):
    native.copy_directory(name = name, src = src, out = out, **kwargs)
