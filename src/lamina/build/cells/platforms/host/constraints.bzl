"""What the machine that builds is like, where a file wants to list it: `host` says it itself."""

HOST_CONSTRAINTS = []
