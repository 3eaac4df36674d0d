"""The product of matrices, by PyTorch: on the same memory as the extension module."""

import torch

NAME = f"torch {torch.__version__}"


def multiply_add(left, right, out, m, n, k, left_turned, right_turned):
    """out += left right, for sizes m x k and k x n; either may be stored transposed."""
    a = _matrix(left, k, m).T if left_turned else _matrix(left, m, k)
    b = _matrix(right, n, k).T if right_turned else _matrix(right, k, n)
    _matrix(out, m, n).addmm_(a, b)


def _matrix(data, rows, columns):
    return torch.frombuffer(data, dtype=torch.float32).reshape(rows, columns)
