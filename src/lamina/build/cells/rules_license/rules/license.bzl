"""`license`, as it is built in: accepted, and nothing is done with it."""

license = native.license
