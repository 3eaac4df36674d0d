"""`PyRuntimeInfo`, which no rule gives."""

PyRuntimeInfo = provider()
