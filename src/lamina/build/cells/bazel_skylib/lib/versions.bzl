"""Versions of dotted numbers, and that of Bazel, which this program stands in for."""

_NEWEST = (999999,)

def _get():
    """The version of Bazel that BUILD files may ask for; empty, as of one built by hand."""
    return getattr(native, "bazel_version", "")

def _number(text):
    digits = ""
    for character in text.elems():
        if not character.isdigit():
            break
        digits += character
    return int(digits or "0")

def _parse(bazel_version):
    # `0.29.0rc1` and `7.0.0-pre.2023` count as what they lead to; none at all is the newest.
    version = (bazel_version or "").partition(" ")[0].partition("-")[0]
    return tuple([_number(part) for part in version.split(".")]) if version else _NEWEST

def _is_at_least(threshold, version):
    return _parse(version) >= _parse(threshold)

def _is_at_most(threshold, version):
    return _parse(version) <= _parse(threshold)

def _check(minimum_bazel_version, maximum_bazel_version = None, bazel_version = None):
    version = bazel_version or _get()
    if not version:
        return
    if not _is_at_least(minimum_bazel_version, version):
        fail("Bazel {} is asked for, at least {} is needed".format(version, minimum_bazel_version))
    if maximum_bazel_version and not _is_at_most(maximum_bazel_version, version):
        fail("Bazel {} is asked for, at most {} will do".format(version, maximum_bazel_version))

versions = struct(
    check = _check,
    get = _get,
    is_at_least = _is_at_least,
    is_at_most = _is_at_most,
    parse = _parse,
)
