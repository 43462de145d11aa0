"""Matrix products of a layer for batches of one SIMD vector, such as the four samples of XOR.

The layout is that of batch_simd_products.py with as many columns as lanes: a unit's values are one vector. Both files
give the same bits; without the loops over columns there is less to compile, and less to do for a tiny net.
"""

from __future__ import annotations

from ...jit.decorators import helper
from ...simd.load_store import fill, load, load_scalar, store
from ...simd.reductions import sum_lanes, sum_lanes_4


@helper
def dense(weights, out_step, in_step, biased, n_in, n_out, x, y, activation, lanes):
    """Write y[o] = b[o] + sum over i of w[o, i] * x[i], in the order of i, and apply `activation` to the whole layer.

    Parameters are those of batch_simd_products.dense.
    """
    p, out, fours, zero = weights.p, y.data, n_out - n_out % 4, fill(y.data, 0.0, lanes)
    for o in range(0, fours, 4):
        w, b, k = weights.start + o * out_step, weights.bias_start + o, y.start + o * lanes
        u0 = u1 = u2 = u3 = zero
        if biased:
            u0, u1 = fill(out, load_scalar(p, b), lanes), fill(out, load_scalar(p, b + 1), lanes)
            u2, u3 = fill(out, load_scalar(p, b + 2), lanes), fill(out, load_scalar(p, b + 3), lanes)
        for i in range(n_in):
            v, q = load(x.data, x.start + i * lanes, lanes), w + i * in_step
            u0, u1 = v * load_scalar(p, q) + u0, v * load_scalar(p, q + out_step) + u1
            u2, u3 = v * load_scalar(p, q + 2 * out_step) + u2, v * load_scalar(p, q + 3 * out_step) + u3
        store(out, k, u0)
        store(out, k + lanes, u1)
        store(out, k + 2 * lanes, u2)
        store(out, k + 3 * lanes, u3)
    for o in range(fours, n_out):
        v = fill(out, load_scalar(p, weights.bias_start + o), lanes) if biased else zero
        for i in range(n_in):
            w = load_scalar(p, weights.start + o * out_step + i * in_step)
            v = load(x.data, x.start + i * lanes, lanes) * w + v
        store(out, y.start + o * lanes, v)
    activation.apply(out, y.start, n_out * lanes, activation)


@helper
def weight_gradients(a, below, delta, above, fan_in, fan_out, columns, g, w0, b0, lanes):
    """Write the gradient to g, as batch_simd_products.weight_gradients does."""
    fours = fan_out - fan_out % 4
    for j in range(0, fours, 4):
        d = above + j * lanes
        d0, d1 = load(delta, d, lanes), load(delta, d + lanes, lanes)
        d2, d3 = load(delta, d + 2 * lanes, lanes), load(delta, d + 3 * lanes, lanes)
        store(g, b0 + j, sum_lanes_4(d0, d1, d2, d3))
        for i in range(fan_in):
            v = load(a, below + i * lanes, lanes)
            store(g, w0 + i * fan_out + j, sum_lanes_4(d0 * v, d1 * v, d2 * v, d3 * v))
    for j in range(fours, fan_out):
        d = load(delta, above + j * lanes, lanes)
        g[b0 + j] = sum_lanes(d)
        for i in range(fan_in):
            g[w0 + i * fan_out + j] = sum_lanes(d * load(a, below + i * lanes, lanes))
