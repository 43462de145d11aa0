"""Finiteness test for large arrays: if the sum is finite, so is every number; it is as fast as memory is read."""

from __future__ import annotations

from ..jit.decorators import kernel
from ..structs import LANES
from .load_store import fill, load, offset
from .reductions import sum_lanes


@kernel
def sum_to(x, n, out):
    """Write the sum of x (n,) to out[0], added up in four independent vectors of LANES lanes."""
    p = offset(x, 0)
    s0 = s1 = s2 = s3 = fill(p, 0.0, LANES)
    whole = n - n % (4 * LANES)
    for i in range(0, whole, 4 * LANES):
        s0 += load(p, i, LANES)
        s1 += load(p, i + LANES, LANES)
        s2 += load(p, i + 2 * LANES, LANES)
        s3 += load(p, i + 3 * LANES, LANES)
    rest = float(sum_lanes((s0 + s1) + (s2 + s3)))
    for i in range(whole, n):
        rest += p[i]
    out[0] = rest
