"""`make`, as it is built in."""

make = native.make
