"""Matrices of float with a gradient beside them; the arithmetic is in C++.

Products, which take most of the time, may be those of numpy or PyTorch: see BUILD.
"""

from array import array

from tensor import _native
from tensor.product import NAME, multiply_add

__all__ = ["NAME", "Matrix", "cross_entropy", "descend", "product", "tanh"]


class Matrix:
    def __init__(self, rows, columns, values=None):
        self.rows, self.columns = rows, columns
        self.data = array("f", values) if values is not None else array("f", bytes(4 * len(self)))
        self.gradient = array("f", bytes(4 * len(self)))

    def __len__(self):
        return self.rows * self.columns


def product(left, right):
    """left right, and what adds to the gradients of both once that of the product is known."""
    m, k, n = left.rows, left.columns, right.columns
    out = Matrix(m, n)
    multiply_add(left.data, right.data, out.data, m, n, k, False, False)

    def back():
        multiply_add(out.gradient, right.data, left.gradient, m, k, n, False, True)
        multiply_add(left.data, out.gradient, right.gradient, k, n, m, True, False)

    return out, back


def tanh(x):
    """tanh of each element, and what takes the gradient back to x."""
    out = Matrix(x.rows, x.columns, x.data)
    _native.tanh(out.data, len(out))

    def back():
        _native.tanh_back(out.data, out.gradient, len(out))
        x.gradient = out.gradient

    return out, back


def cross_entropy(scores, right):
    """The mean loss of rows of scores; their gradient is that of the loss."""
    scores.gradient = array("f", scores.data)
    return _native.cross_entropy(scores.gradient, right, scores.rows, scores.columns)


def descend(matrices, rate):
    """One step against the gradients, which are zero then."""
    for each in matrices:
        _native.descend(each.data, each.gradient, len(each), rate)
