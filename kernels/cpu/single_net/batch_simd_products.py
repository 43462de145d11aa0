"""Matrix products of a layer with samples in columns, in the layout of batch_simd.py.

Blocks of four rows share what is loaded, so that there is less than one load per multiply-add, and no multiply-add
waits for the one before it; rows that are left over are computed one by one, with more loads. The activation or
derivative that follows a product is applied to a few rows at a time, while they are in the first-level cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...jit.decorators import helper
from ...simd.load_store import fill, load, load_scalar, store
from ...simd.reductions import sum_lanes, sum_lanes_4, sum_lanes_8


class LayerWeights(NamedTuple):
    """Weights and biases of a layer in the parameters."""

    p: Any  # parameters, or a pointer to them
    start: int  # index of the first weight
    bias_start: int  # index of the first bias


@helper
def dense(weights, out_step, in_step, biased, n_in, n_out, x, y, activation, lanes):
    """Write y[o, s] = b[o] + sum over i of w[o, i] * x[i, s] for all columns s, in the order of i, and apply
    `activation`.

    weights : LayerWeights
    out_step, in_step : elements from a weight to that of the next output, and of the next input. A literal 1 is
        compiled as a constant: a layer and its transposed weights have machine code of their own
    biased : whether b[o] is added; literal True or False
    x, y : Matrix, a unit per row; the stride is the number of columns
    activation : batch_simd.Activation, applied to elements start to start + size of the array, a few rows at a time;
        size may be 0
    """
    p, w0, b0, columns, out = weights.p, weights.start, weights.bias_start, y.stride, y.data
    fours, pairs, quads = n_out - n_out % 4, columns - columns % (2 * lanes), columns - columns % (4 * lanes)
    for o in range(0, fours, 4):
        w, k = w0 + o * out_step, y.start + o * columns
        b_0 = b_1 = b_2 = b_3 = fill(out, 0.0, lanes)
        if biased:
            b_0, b_1 = fill(out, load_scalar(p, b0 + o), lanes), fill(out, load_scalar(p, b0 + o + 1), lanes)
            b_2, b_3 = fill(out, load_scalar(p, b0 + o + 2), lanes), fill(out, load_scalar(p, b0 + o + 3), lanes)
        for s in range(0, pairs, 2 * lanes):
            u0, u1, u2, u3, v0, v1, v2, v3 = b_0, b_1, b_2, b_3, b_0, b_1, b_2, b_3
            for i in range(n_in):
                j, q = x.start + i * columns + s, w + i * in_step
                x_0, x_1 = load(x.data, j, lanes), load(x.data, j + lanes, lanes)
                w_0, w_1 = load_scalar(p, q), load_scalar(p, q + out_step)
                w_2, w_3 = load_scalar(p, q + 2 * out_step), load_scalar(p, q + 3 * out_step)
                u0, u1, u2, u3 = x_0 * w_0 + u0, x_0 * w_1 + u1, x_0 * w_2 + u2, x_0 * w_3 + u3
                v0, v1, v2, v3 = x_1 * w_0 + v0, x_1 * w_1 + v1, x_1 * w_2 + v2, x_1 * w_3 + v3
            store(out, k + s, u0)
            store(out, k + s + lanes, v0)
            store(out, k + s + columns, u1)
            store(out, k + s + columns + lanes, v1)
            store(out, k + s + 2 * columns, u2)
            store(out, k + s + 2 * columns + lanes, v2)
            store(out, k + s + 3 * columns, u3)
            store(out, k + s + 3 * columns + lanes, v3)
        for s in range(pairs, columns, lanes):
            u0, u1, u2, u3 = b_0, b_1, b_2, b_3
            for i in range(n_in):
                v, q = load(x.data, x.start + i * columns + s, lanes), w + i * in_step
                u0, u1 = v * load_scalar(p, q) + u0, v * load_scalar(p, q + out_step) + u1
                u2, u3 = v * load_scalar(p, q + 2 * out_step) + u2, v * load_scalar(p, q + 3 * out_step) + u3
            store(out, k + s, u0)
            store(out, k + s + columns, u1)
            store(out, k + s + 2 * columns, u2)
            store(out, k + s + 3 * columns, u3)
        activation.apply(out, k, 4 * columns, activation)
    for o in range(fours, n_out):
        start = fill(out, load_scalar(p, b0 + o), lanes) if biased else fill(out, 0.0, lanes)
        k = y.start + o * columns
        for s in range(0, quads, 4 * lanes):
            u0 = u1 = u2 = u3 = start
            for i in range(n_in):
                w, j = load_scalar(p, w0 + o * out_step + i * in_step), x.start + i * columns + s
                u0, u1 = load(x.data, j, lanes) * w + u0, load(x.data, j + lanes, lanes) * w + u1
                u2, u3 = load(x.data, j + 2 * lanes, lanes) * w + u2, load(x.data, j + 3 * lanes, lanes) * w + u3
            store(out, k + s, u0)
            store(out, k + s + lanes, u1)
            store(out, k + s + 2 * lanes, u2)
            store(out, k + s + 3 * lanes, u3)
        for s in range(quads, columns, lanes):
            v = start
            for i in range(n_in):
                w, j = load_scalar(p, w0 + o * out_step + i * in_step), x.start + i * columns + s
                v = load(x.data, j, lanes) * w + v
            store(out, k + s, v)
    activation.apply(out, y.start + fours * columns, (n_out - fours) * columns, activation)


@helper
def weight_gradients(a, below, delta, above, fan_in, fan_out, columns, g, w0, b0, lanes):
    """Write the gradient to g: the sum over samples s of a[i, s] * delta[j, s], for biases that of delta[j, s].

    below, above : index in a of the first unit below the layer, and in delta of its first unit
    w0, b0 : index in g of the layer's weights and biases
    """
    fours, twos, zero = fan_out - fan_out % 4, fan_in - fan_in % 2, fill(delta, 0.0, lanes)
    for j in range(0, fours, 4):
        d = above + j * columns
        u0 = u1 = u2 = u3 = zero
        for s in range(d, d + columns, lanes):
            u0, u1 = u0 + load(delta, s, lanes), u1 + load(delta, s + columns, lanes)
            u2, u3 = u2 + load(delta, s + 2 * columns, lanes), u3 + load(delta, s + 3 * columns, lanes)
        store(g, b0 + j, sum_lanes_4(u0, u1, u2, u3))
        for i in range(0, twos, 2):
            x, q = below + i * columns, w0 + i * fan_out + j
            u0 = u1 = u2 = u3 = v0 = v1 = v2 = v3 = zero
            for s in range(0, columns, lanes):
                x_0, x_1 = load(a, x + s, lanes), load(a, x + columns + s, lanes)
                d0, d1 = load(delta, d + s, lanes), load(delta, d + columns + s, lanes)
                d2, d3 = load(delta, d + 2 * columns + s, lanes), load(delta, d + 3 * columns + s, lanes)
                u0, u1, u2, u3 = d0 * x_0 + u0, d1 * x_0 + u1, d2 * x_0 + u2, d3 * x_0 + u3
                v0, v1, v2, v3 = d0 * x_1 + v0, d1 * x_1 + v1, d2 * x_1 + v2, d3 * x_1 + v3
            u, v = sum_lanes_8(u0, u1, u2, u3, v0, v1, v2, v3)
            store(g, q, u)
            store(g, q + fan_out, v)
        for i in range(twos, fan_in):
            x = below + i * columns
            u0 = u1 = u2 = u3 = zero
            for s in range(0, columns, lanes):
                v, k = load(a, x + s, lanes), d + s
                u0, u1 = load(delta, k, lanes) * v + u0, load(delta, k + columns, lanes) * v + u1
                u2, u3 = load(delta, k + 2 * columns, lanes) * v + u2, load(delta, k + 3 * columns, lanes) * v + u3
            store(g, w0 + i * fan_out + j, sum_lanes_4(u0, u1, u2, u3))
    for j in range(fours, fan_out):
        d, v = above + j * columns, zero
        for s in range(d, d + columns, lanes):
            v += load(delta, s, lanes)
        g[b0 + j] = sum_lanes(v)
        whole = fan_in - fan_in % 4
        for i in range(0, whole, 4):
            x, q = below + i * columns, w0 + i * fan_out + j
            u0 = u1 = u2 = u3 = zero
            for s in range(0, columns, lanes):
                v, k = load(delta, d + s, lanes), x + s
                u0, u1 = load(a, k, lanes) * v + u0, load(a, k + columns, lanes) * v + u1
                u2, u3 = load(a, k + 2 * columns, lanes) * v + u2, load(a, k + 3 * columns, lanes) * v + u3
            g[q], g[q + fan_out] = sum_lanes(u0), sum_lanes(u1)
            g[q + 2 * fan_out], g[q + 3 * fan_out] = sum_lanes(u2), sum_lanes(u3)
        for i in range(whole, fan_in):
            x, v = below + i * columns, zero
            for s in range(0, columns, lanes):
                v = load(delta, d + s, lanes) * load(a, x + s, lanes) + v
            g[w0 + i * fan_out + j] = sum_lanes(v)


# ---- products for batches of one vector, such as the four samples of XOR: there are as many columns as lanes, so that
# a unit's values are one vector. They give the same bits; without the loops over columns there is less to compile, and
# less to do for a tiny net.


@helper
def dense_of_one_vector(weights, out_step, in_step, biased, n_in, n_out, x, y, activation, lanes):
    """Write y[o] = b[o] + sum over i of w[o, i] * x[i], in the order of i, and apply `activation` to the whole layer.

    Parameters are those of dense.
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
def weight_gradients_of_one_vector(a, below, delta, above, fan_in, fan_out, columns, g, w0, b0, lanes):
    """Write the gradient to g, as weight_gradients does."""
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
