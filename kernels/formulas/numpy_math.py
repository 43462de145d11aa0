"""Functions that formulas are written in, for NumPy arrays and numbers: comparisons, roots, exponentials and similar.

simd/vector.py and simd/elementary.py define the same functions for SIMD vectors, and kernels import them from there.
Nothing is compiled here and Numba is not imported, so that loading the tables of formulas is fast.
"""

from __future__ import annotations

import numpy as np


def where(mask, a, b):
    return np.where(mask, a, b)


def sqrt(v):
    return np.sqrt(v)


def absolute(v):
    return np.abs(v)


def ratio(a, b):
    """a / b for finite positive b. Kernels use a reciprocal estimate and a Newton step if the processor has one."""
    return a / b


def multiply_add(a, b, c):
    """a * b + c, rounded once where it is compiled: for sums in which LLVM might fuse a different product, or none."""
    return a * b + c


def exp(z):
    return np.exp(z)


def expm1(z):
    return np.expm1(z)


def log(x):
    """Natural logarithm of normal positive x."""
    return np.log(x)


def log1p(t):
    """log(1 + t) for 0 <= t <= 1."""
    return np.log1p(t)


def sigmoid(z):
    return 0.5 + 0.5 * np.tanh(0.5 * z)


def tanh(z):
    return np.tanh(z)


def softplus(z):
    """log(1 + exp(z))"""
    return np.logaddexp(0.0, z)


def normal_density(z):
    return np.exp(-0.5 * z * z) * 0.3989422804014327


def normal_cdf(z):
    """P(N(0, 1) <= z)"""
    from scipy.special import ndtr

    return ndtr(z)
