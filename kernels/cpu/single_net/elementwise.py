"""Elementwise passes over the rows of a layer, in whole SIMD vectors: everything around the matrix products.

Arrays are flat; a layer is (rows, width), row-major, from an offset `*0`. The last vector of a row is masked. Each loop
over a formula is compiled once for each row of the formula's table (`linked_table`): a code chooses a loop, never an
operation inside a loop.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...formulas.activations import ACTIVATIONS
from ...formulas.counter_rng import DROPOUT, philox
from ...formulas.losses import LOSSES
from ...jit.decorators import helper, linked_helper, linked_table
from ...simd.lanes import Lanes
from ...simd.load_store import fill, load, load_partial, offset, scalar_like, store, store_partial, transpose_square
from ...simd.reductions import largest, sum_lanes
from ...simd.vector import absolute, keep_first, negated_lane_numbers, where
from ...structs import LANES, METRIC_ARGMAX, METRIC_MARGIN
from .column_passes import softmax_columns

WIDTH = Lanes(LANES)


def _make_activate(row):
    value = row.value

    @helper
    def activate(z, z0, b, b0, keep_z, rows, width, a, a0):
        for r in range(rows):
            i, o = z0 + r * width, a0 + r * width
            whole = width - width % LANES
            for j in range(0, whole, LANES):
                v = load(z, i + j, LANES) + load(b, b0 + j, LANES)
                if keep_z:
                    store(z, i + j, v)
                store(a, o + j, value(v))
            if whole < width:
                n = width - whole
                v = load_partial(z, i + whole, n, LANES) + load_partial(b, b0 + whole, n, LANES)
                if keep_z:
                    store_partial(z, i + whole, n, v)
                store_partial(a, o + whole, n, value(v))

    return activate


# activate(code, z, z0, b, b0, keep_z, rows, width, a, a0)      a = f(z + b); if keep_z, z = z + b
activate = linked_table(f"{__name__}.activate", _make_activate, ACTIVATIONS, "NetSpec.activations")


@linked_helper()
def column_sums(delta, delta0, rows, width, first, last, adds, sums, sums0):
    """Write sums[j] = sum over rows of delta (rows, width), for columns first <= j < last: the bias gradients.

    adds : whether to add to what `sums` holds
    """
    wide = first + (last - first) // (4 * LANES) * (4 * LANES)
    for j in range(first, wide, 4 * LANES):  # several cache lines of a row at a time, not one from each page
        c0 = c1 = c2 = c3 = fill(delta, 0.0, LANES)
        for r in range(rows):
            i = delta0 + r * width + j
            c0 += load(delta, i, LANES)
            c1 += load(delta, i + LANES, LANES)
            c2 += load(delta, i + 2 * LANES, LANES)
            c3 += load(delta, i + 3 * LANES, LANES)
        if adds:
            c0, c1 = load(sums, sums0 + j, LANES) + c0, load(sums, sums0 + j + LANES, LANES) + c1
            c2, c3 = load(sums, sums0 + j + 2 * LANES, LANES) + c2, load(sums, sums0 + j + 3 * LANES, LANES) + c3
        store(sums, sums0 + j, c0)
        store(sums, sums0 + j + LANES, c1)
        store(sums, sums0 + j + 2 * LANES, c2)
        store(sums, sums0 + j + 3 * LANES, c3)
    for j in range(wide, last, LANES):
        n = min(last - j, LANES)
        column = fill(delta, 0.0, LANES)
        for r in range(rows):
            column += load_partial(delta, delta0 + r * width + j, n, LANES)
        if adds:
            column = load_partial(sums, sums0 + j, n, LANES) + column
        store_partial(sums, sums0 + j, n, column)


@linked_helper()
def softmax_rows(z, z0, rows, width, a, a0, scratch):
    """Replace z (rows, width) by log-probabilities, and write their exponentials to a.

    Samples are transposed into lanes, 16 at a time: maxima and sums then run down the classes, not across a vector
    (measured for 32 rows of 10: 0.37 us, against 1.1 us row by row).

    scratch : array of LANES * (LANES + 2 * w) elements, w being width rounded up to a multiple of LANES
    """
    square, logs = LANES * LANES, LANES * LANES
    probabilities = logs + (width + LANES - 1) // LANES * square
    for r in range(0, rows, LANES):
        m = min(LANES, rows - r)
        for j in range(0, width, LANES):
            n = min(LANES, width - j)
            for q in range(m):
                store(scratch, q * LANES, load_partial(z, z0 + (r + q) * width + j, n, LANES))
            transpose_square(scratch, 0, LANES, scratch, logs + j * LANES, LANES, LANES)
        softmax_columns(offset(scratch, logs), offset(scratch, probabilities), 0, LANES, width * LANES, WIDTH)
        for j in range(0, width, LANES):
            n = min(LANES, width - j)
            transpose_square(scratch, logs + j * LANES, LANES, scratch, 0, LANES, LANES)
            for q in range(m):
                store_partial(z, z0 + (r + q) * width + j, n, load(scratch, q * LANES, LANES))
            transpose_square(scratch, probabilities + j * LANES, LANES, scratch, 0, LANES, LANES)
            for q in range(m):
                store_partial(a, a0 + (r + q) * width + j, n, load(scratch, q * LANES, LANES))


class Outputs(NamedTuple):
    """Rows of the output layer. Kernels use pointers."""

    z: Any  # logits
    a: Any  # outputs
    delta: Any
    start: int  # index of the first row in z, a and delta


class Targets(NamedTuple):
    """Targets and weights of samples."""

    y: Any
    start: int  # index of the first sample's targets in y
    has_weights: bool
    weight: Any
    weight_start: int  # index of the first sample's weight in `weight`


def _make_loss(row):
    value, delta = row.value, row.delta

    @helper
    def loss_and_delta(outputs, targets, scale, c, rows, width):
        z, a, start = outputs.z, outputs.a, outputs.start
        y, y0, weight, w0 = targets.y, targets.start, targets.weight, targets.weight_start
        # With one output samples are contiguous and fill the lanes; otherwise the outputs of a sample do.
        across = width == 1
        losses = fill(z, 0.0, LANES)
        w = fill(z, 1.0, LANES)
        for r in range(1 if across else rows):
            if targets.has_weights and not across:
                w = fill(z, weight[w0 + r], LANES)
            length = rows if across else width
            for j in range(0, length, LANES):
                n, k = min(length - j, LANES), r * width + j
                if targets.has_weights and across:
                    w = load_partial(weight, w0 + j, n, LANES)
                zv, av = load_partial(z, start + k, n, LANES), load_partial(a, start + k, n, LANES)
                yv = load_partial(y, y0 + k, n, LANES)
                weighted, d = w * value(zv, av, yv, c), delta(av, yv, c) * (w * scale)
                if targets.has_weights:  # a sample of weight 0 contributes nothing: infinity times 0 is NaN
                    weighted, d = where(w > 0.0, weighted, 0.0), where(w > 0.0, d, 0.0)
                losses += keep_first(weighted, n, 0.0)
                store_partial(outputs.delta, start + k, n, d)
        return float(sum_lanes(losses))

    return loss_and_delta


# loss_and_delta(code, outputs, targets, scale, c, rows, width) -> sum of w * loss
#     delta = scale * w * derivative of the loss; w = 1 without weights
loss_and_delta = linked_table(f"{__name__}.loss_and_delta", _make_loss, LOSSES, "NetSpec.loss", float)


@linked_helper(float)
def count_correct(metric, outputs, targets, rows, width, bound):
    """Return the sum of the weights of correct samples.

    METRIC_ARGMAX: a sample is correct if its first largest output is where its first largest target is. Otherwise it
    counts as the fraction of its outputs that are correct: on the target's side of `bound`, or, with METRIC_MARGIN, no
    further than `bound` from the target.
    """
    a, a0, weight, w0 = outputs.a, outputs.start, targets.weight, targets.weight_start
    y, y0 = targets.y, targets.start
    if metric != METRIC_ARGMAX:
        across = width == 1  # as in loss_and_delta
        n_correct = fill(a, 0.0, LANES)
        w = fill(a, 1.0, LANES)
        for r in range(1 if across else rows):
            if targets.has_weights and not across:
                w = fill(a, weight[w0 + r], LANES)
            length = rows if across else width
            for j in range(0, length, LANES):
                n, k = min(length - j, LANES), r * width + j
                if targets.has_weights and across:
                    w = load_partial(weight, w0 + j, n, LANES)
                av, yv = load_partial(a, a0 + k, n, LANES), load_partial(y, y0 + k, n, LANES)
                if metric == METRIC_MARGIN:
                    correct = where(absolute(av - yv) <= bound, 1.0, 0.0)
                else:
                    correct = 1.0 - absolute(where(av > bound, 1.0, 0.0) - where(yv > bound, 1.0, 0.0))
                n_correct += keep_first(w * correct, n, 0.0)
        return float(sum_lanes(n_correct)) / width
    n_correct, lowest, first = 0.0, fill(a, -np.inf, LANES), negated_lane_numbers(fill(a, 0.0, LANES))
    for r in range(rows):
        best, best_y, predicted, wanted = lowest, lowest, first, first  # the largest of each lane, and where it is
        for j in range(0, width, LANES):
            n, k = min(width - j, LANES), r * width + j
            av = keep_first(load_partial(a, a0 + k, n, LANES), n, -np.inf)
            yv = keep_first(load_partial(y, y0 + k, n, LANES), n, -np.inf)
            position = first - float(j)
            predicted, best = where(av > best, position, predicted), where(av > best, av, best)
            wanted, best_y = where(yv > best_y, position, wanted), where(yv > best_y, yv, best_y)
        top, target = largest(best), largest(best_y)
        if largest(where(best >= top, predicted, -np.inf)) == largest(where(best_y >= target, wanted, -np.inf)):
            n_correct += float(weight[w0 + r]) if targets.has_weights else 1.0
    return n_correct


@linked_helper()
def draw_mask(rate, seed, step, layer, first, last, mask, mask0):
    """Write the dropout mask of elements first <= e < last of a batch's layer to mask[mask0 + e]: 0 with probability
    `rate`, else 1 / (1 - rate).

    Written in whole groups of four, so up to three elements on either side are drawn too.
    """
    threshold = np.uint64(rate * 4294967296.0)
    scaled = scalar_like(mask, 1.0 / (1.0 - rate))
    dropped = scalar_like(mask, 0.0)
    for group in range(first >> 2, (last + 3) >> 2):
        w0, w1, w2, w3 = philox(group, step, DROPOUT, layer, seed)
        i = mask0 + 4 * group
        mask[i] = scaled if w0 >= threshold else dropped
        mask[i + 1] = scaled if w1 >= threshold else dropped
        mask[i + 2] = scaled if w2 >= threshold else dropped
        mask[i + 3] = scaled if w3 >= threshold else dropped


@helper
def multiply(a, a0, mask, mask0, size, out, out0):
    """Write out = a * mask."""
    for j in range(0, size, LANES):
        n = min(size - j, LANES)
        store_partial(out, out0 + j, n, load_partial(a, a0 + j, n, LANES) * load_partial(mask, mask0 + j, n, LANES))


@helper
def add(a, start, size, out):
    """Add `size` elements of a to out, from index `start` on in both."""
    for i in range(start, start + size, LANES):
        n = min(start + size - i, LANES)
        store_partial(out, i, n, load_partial(out, i, n, LANES) + load_partial(a, i, n, LANES))


@helper
def gather_rows(source, order, first, rows, width, out, out0):
    """Write out (rows, width) = source[order[first : first + rows]]."""
    for r in range(rows):
        i, o = order[first + r] * width, out0 + r * width
        whole = width - width % LANES
        for j in range(0, whole, LANES):
            store(out, o + j, load(source, i + j, LANES))
        if whole < width:
            store_partial(out, o + whole, width - whole, load_partial(source, i + whole, width - whole, LANES))
