"""What formulas are written in, for NumPy arrays and numbers: comparison, root, exponential and their kin.

Compiled for SIMD vectors they are something else: vector.py and elementary.py say what, and kernels import them from
there. Here nothing is compiled and Numba is not loaded, so that the tables of formulas cost a new process nothing.
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
    """a / b for finite positive b; where the processor estimates reciprocals, an estimate and a Newton step."""
    return a / b


def multiply_add(a, b, c):
    """a * b + c, rounded once where it is compiled: for sums of which LLVM might fuse another product, or none."""
    return a * b + c


def exp(z):
    return np.exp(z)


def expm1(z):
    return np.expm1(z)


def log(x):
    """For normal positive x."""
    return np.log(x)


def log1p(t):
    """For 0 <= t <= 1."""
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
