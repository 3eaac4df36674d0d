"""Calls the C++ library D, opened by its name through ctypes."""

import ctypes

_D = ctypes.CDLL("libD.so")
_D.d_address.restype = ctypes.c_void_p


def call():
    """Call F by way of D; returns how often F was called so far."""
    return _D.d_call()


def address():
    """Where the counter that D uses lies in memory."""
    return _D.d_address()
