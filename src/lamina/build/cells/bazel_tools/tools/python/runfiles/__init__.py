"""Another name of `rules_python.python.runfiles`."""
