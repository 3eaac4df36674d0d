"""The version of the skylib that this one is like."""

version = "1.7.1"
