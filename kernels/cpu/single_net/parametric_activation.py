"""Parametric activation of layerwise.py: a = z + alpha (f(z) - z), with a trained alpha for each unit.

The pass that computes f(z) is that of other layers. What follows it here replaces the outputs and, in training, stores
both derivatives, so that the backward pass multiplies deltas by them.

Source: Holzmüller, Grinsztajn and Steinwart 2024 (RealMLP, arXiv:2407.04491), who begin with alpha = 1.
"""

from __future__ import annotations

from ...jit.decorators import helper, linked_helper
from ...simd.load_store import fill, load_partial, store_partial
from ...structs import LANES


@linked_helper()
def parametric_outputs(z, z0, alpha, alpha0, rows, width, a, a0):
    """Write a = z + alpha (a - z), where a (rows, width) is f(z)."""
    for r in range(rows):
        i, o = z0 + r * width, a0 + r * width
        for j in range(0, width, LANES):
            n = min(width - j, LANES)
            v = load_partial(z, i + j, n, LANES)
            share = load_partial(alpha, alpha0 + j, n, LANES)
            store_partial(a, o + j, n, v + share * (load_partial(a, o + j, n, LANES) - v))


@linked_helper()
def parametric_derivatives(z, alpha, alpha0, rows, width, a, derivatives, start):
    """Write a as parametric_outputs does, and the derivatives of a: by alpha to z, and by z to `derivatives`.

    derivatives : (rows, width), f'(z); replaced by 1 + alpha (f'(z) - 1)
    start : index of the first row in z, a and derivatives
    """
    for r in range(rows):
        i = start + r * width
        for j in range(0, width, LANES):
            n = min(width - j, LANES)
            v, share = load_partial(z, i + j, n, LANES), load_partial(alpha, alpha0 + j, n, LANES)
            by_alpha = load_partial(a, i + j, n, LANES) - v
            store_partial(a, i + j, n, v + share * by_alpha)
            store_partial(z, i + j, n, by_alpha)
            by_z = 1.0 + share * (load_partial(derivatives, i + j, n, LANES) - 1.0)
            store_partial(derivatives, i + j, n, by_z)


@helper
def fill_ones(x, start, size):
    for i in range(start, start + size, LANES):
        store_partial(x, i, min(start + size - i, LANES), fill(x, 1.0, LANES))
