"""`copy_file`: a file under another name."""

def copy_file(name, src, out, is_directory = False, **kwargs):
    if is_directory:
        fail("`copy_file` copies no folders: use `copy_directory`")
    native.copy_file(name = name, src = src, out = out, **kwargs)
