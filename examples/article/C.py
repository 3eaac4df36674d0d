"""Calls the C++ library E through an extension module."""

import native


def call():
    """Call F by way of E; returns how often F was called so far."""
    return native.call()


def address():
    """Where the counter that E uses lies in memory."""
    return native.address()
