"""Gradient clipping and L2 penalties of a block's nets, one number per lane."""

from __future__ import annotations

import numpy as np

from ...jit.decorators import helper, inline_helper
from ...simd.load_store import fill, load
from ...simd.reductions import any_of
from ...simd.vector import absolute, sqrt, where
from ...structs import CLIP_NORM


@helper
def squares(p, g, first, end, l2, lanes):
    """Return each lane's sum of (g + l2 p)**2 over parameters first <= q < end."""
    sums = fill(g, 0.0, lanes)
    for i in range(first * lanes, end * lanes, lanes):
        gradient = load(g, i, lanes) + load(p, i, lanes) * l2
        sums += gradient * gradient
    return sums


@helper
def steepest(p, g, first, end, l2, largest, lanes):
    """Return each lane's largest |g + l2 p| over parameters first <= q < end, or `largest` if that is larger."""
    for i in range(first * lanes, end * lanes, lanes):
        gradient = absolute(load(g, i, lanes) + load(p, i, lanes) * l2)
        largest = where(gradient > largest, gradient, largest)
    return largest


@helper
def shrunk_squares(p, g, first, end, l2, shrink, lanes):
    """Return `squares` of gradients times shrink**2, which are at most 1.

    shrink**2 by itself may be too small for a floating-point number, so the gradient is multiplied twice.
    """
    sums = fill(g, 0.0, lanes)
    for i in range(first * lanes, end * lanes, lanes):
        gradient = (load(g, i, lanes) + load(p, i, lanes) * l2) * shrink * shrink
        sums += gradient * gradient
    return sums


@helper
def clip_by_steepest(net, p, g, l2, norm, lanes):
    """Return the factor that scales each lane's gradient to `norm`, for lanes whose sum of squares overflows."""
    zero, one = fill(p, 0.0, lanes), fill(p, 1.0, lanes)
    largest = total = zero
    for k in range(net.n_layers):
        first, middle = net.weight_offsets[k], net.bias_offsets[k]
        largest = steepest(p, g, first, middle, l2, largest, lanes)
        largest = steepest(p, g, middle, middle + net.sizes[k + 1], zero, largest, lanes)
    shrink = one / sqrt(where(largest > 1.0, largest, one))
    for k in range(net.n_layers):
        first, middle = net.weight_offsets[k], net.bias_offsets[k]
        total += shrunk_squares(p, g, first, middle, l2, shrink, lanes)
        total += shrunk_squares(p, g, middle, middle + net.sizes[k + 1], zero, shrink, lanes)
    factor = norm * shrink * shrink / sqrt(where(total > 0.0, total, one))
    return where(factor > 1.0, one, factor)


@inline_helper
def clip_factors(net, block, l2):
    """Return the factor that scales each lane's gradient to its clip_norm, 1 where there is nothing to clip.

    l2 : (lanes,) the penalties, whose gradient is clipped too
    """
    p, g, lanes = block.p, block.g, block.lanes
    total, zero = fill(p, 0.0, lanes), fill(p, 0.0, lanes)
    for k in range(net.n_layers):
        first, middle = net.weight_offsets[k], net.bias_offsets[k]
        total += squares(p, g, first, middle, l2, lanes)
        total += squares(p, g, middle, middle + net.sizes[k + 1], zero, lanes)
    norm = load(block.hyper, CLIP_NORM * lanes, lanes)
    too_long = (norm > 0.0) & (total > norm * norm)
    overflows = (norm > 0.0) & ~(total < np.inf)
    clip = where(too_long & ~overflows, norm / sqrt(where(too_long & ~overflows, total, 1.0)), 1.0)
    if any_of(overflows):
        clip = where(overflows, clip_by_steepest(net, p, g, l2, norm, lanes), clip)
    return clip


@inline_helper
def penalties(net, block, l2):
    """Return each lane's l2 / 2 times the sum of its squared weights."""
    p, lanes = block.p, block.lanes
    sums, zero = fill(p, 0.0, lanes), fill(p, 0.0, lanes)
    for k in range(net.n_layers):
        sums += squares(p, p, net.weight_offsets[k], net.bias_offsets[k], zero, lanes)
    return 0.5 * l2 * sums
