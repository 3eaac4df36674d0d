"""`configure_make`, as it is built in."""

configure_make = native.configure_make
