"""`PyInfo`: the modules and import roots of a target."""

PyInfo = PyInfo
