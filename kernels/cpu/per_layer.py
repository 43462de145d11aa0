"""Nets whose layers are matrices: a BLAS product per layer, one fused pass around it, a team of threads without BLAS's own.

Each rank takes its rows of the batch through all layers, forward and backward, with single-threaded products and no
meeting in between. Then it takes its rows of every weight matrix: their gradient over the whole batch, and their
update while it is still in cache. So a step has two meetings, whatever the depth, and nothing is computed twice.

Blocks of work arrays: layer k's rows start at work.blocks[k], k = 0 being the gathered inputs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..activations import IDENTITY, SOFTMAX
from ..arguments import METRIC_ARGMAX, METRIC_NONE, NO_UPDATE
from ..jit import inlined, inner, kernel
from ..simd import bare, number, offset
from .elements import activate, backward, count_right, draw_mask, gather_rows, loss_and_delta, multiply, softmax_rows
from .gemm import gemm
from .loop import LOSS, PARTIAL_COLUMNS, RIGHT, SQUARES, make_loop
from .team import meet
from .update import CLIP_NORM, clip_factor, squares, update


class Work(NamedTuple):
    blocks: np.ndarray  # int64 (n_layers + 1,), where a layer's rows start in a, z, delta and mask
    units: np.ndarray  # int64 (n_layers + 1,), where a layer's units start in a row of sums
    a: np.ndarray  # outputs of every layer
    z: np.ndarray  # inputs to f where they are kept, raw outputs where dropout hides them
    delta: np.ndarray
    mask: np.ndarray  # as a, or empty without dropout
    y: np.ndarray  # (rows, n_outputs), gathered
    weight: np.ndarray  # (rows,), gathered, or empty
    n_sums: int
    sums: np.ndarray  # (n_ranks, n_sums), column sums of delta
    partial: np.ndarray  # float64 (n_ranks, PARTIAL_COLUMNS)
    order: np.ndarray  # int64 (n_samples,) if shuffled
    words: np.ndarray  # uint64 (BLOCK,), scratch of the permutation


@inner
def forward(net, params, x, x0, row, rows, work, training, seed, step):
    """Rows row .. row + rows of a batch whose row 0 starts at x[x0]. Output: a and, as logits or log-probabilities, z."""
    n_layers = net.n_layers
    source, start = x, x0 + row * net.sizes[0]
    for k in range(n_layers):
        fan_in, fan_out = net.sizes[k], net.sizes[k + 1]
        o = work.blocks[k + 1] + row * fan_out
        hides = training and net.dropout[k] > 0.0
        keeps = net.keep_z[k] == 1
        z = work.z if keeps or hides else work.a
        gemm(0, 0, rows, fan_out, fan_in, source, start, fan_in, params, net.weight_offsets[k], fan_out, z, o, fan_out)
        raw = work.z if hides and not keeps else work.a
        activate(net.activations[k], z, o, params, net.bias_offsets[k], keeps, rows, fan_out, raw, o)
        if hides:
            draw_mask(
                net.dropout[k], seed, step, k, row * fan_out, (row + rows) * fan_out, work.mask, work.blocks[k + 1]
            )
            multiply(raw, o, work.mask, o, rows * fan_out, work.a, o)
        source, start = work.a, o
    if net.activations[n_layers - 1] == SOFTMAX:
        o, width = work.blocks[n_layers] + row * net.sizes[n_layers], net.sizes[n_layers]
        softmax_rows(work.z, o, rows, width, work.a, o)


@inlined
def judge(net, data, y, y0, weight, w0, row, rows, scale, work, share):
    """Loss, hits and output delta of rows of a batch; y and weight of its row 0 start at y0 and w0."""
    n_layers, width = net.n_layers, net.sizes[net.n_layers]
    o, t = work.blocks[n_layers] + row * width, y0 + row * width
    loss = loss_and_delta(
        net.loss, work.z, work.a, o, y, t, data.weighted, weight, w0 + row, number(y, scale),
        number(y, net.loss_constant), rows, width, work.delta,
    )  # fmt: skip
    share[LOSS] += loss / net.loss_width
    if data.metric != METRIC_NONE:
        share[RIGHT] += count_right(data.metric == METRIC_ARGMAX, work.a, o, y, t, rows, width, number(y, net.middle))


@inlined
def gradient(rank, n_ranks, net, data, course, params, grads, work, first, rows, step):
    row, end = rows * rank // n_ranks, rows * (rank + 1) // n_ranks
    mine, n_layers = end - row, net.n_layers
    share = offset(work.partial, rank * PARTIAL_COLUMNS)
    share[LOSS] = share[RIGHT] = 0.0
    x, x0, y, y0, weight, w0 = data.X, first * net.sizes[0], data.Y, first * net.sizes[n_layers], data.weight, first
    if course.shuffle:
        x, x0, y, y0, weight, w0 = work.a, 0, work.y, 0, work.weight, 0
        gather_rows(data.X, work.order, first + row, mine, net.sizes[0], x, row * net.sizes[0])
        gather_rows(data.Y, work.order, first + row, mine, net.sizes[n_layers], y, row * net.sizes[n_layers])
        if data.weighted:
            gather_rows(data.weight, work.order, first + row, mine, 1, weight, row)
    forward(net, params, x, x0, row, mine, work, True, course.seed, step)
    judge(net, data, y, y0, weight, w0, row, mine, 1.0 / (rows * net.loss_width), work, share)
    for k in range(n_layers - 1, -1, -1):
        fan_in, fan_out = net.sizes[k], net.sizes[k + 1]
        o = work.blocks[k + 1] + row * fan_out
        hides = net.dropout[k] > 0.0
        if hides:
            multiply(work.delta, o, work.mask, o, mine * fan_out, work.delta, o)
        code = IDENTITY if k == n_layers - 1 and net.natural else net.activations[k]
        kept = work.z if hides or (net.keep_z[k] == 1 and net.derivative_of_z[k] == 1) else work.a
        backward(code, kept, o, mine, fan_out, work.delta, o, work.sums, rank * work.n_sums + work.units[k])
        if k > 0:
            below = work.blocks[k] + row * fan_in
            gemm(0, 1, mine, fan_in, fan_out, work.delta, o, fan_out, params, net.weight_offsets[k], fan_out,
                 work.delta, below, fan_in)  # fmt: skip


@inlined
def finish(rank, n_ranks, barrier, meetings, net, data, course, memory, work, first, rows, h):
    n_layers, n_padded = net.n_layers, net.n_padded
    p, g = memory.params, memory.grads
    one, zero, l2 = number(p, 1.0), number(p, 0.0), number(p, net.l2)
    square_sum = 0.0
    for k in range(n_layers):
        fan_in, fan_out = net.sizes[k], net.sizes[k + 1]
        row, end = fan_in * rank // n_ranks, fan_in * (rank + 1) // n_ranks
        w, b = net.weight_offsets[k], net.bias_offsets[k]
        source, start = work.a, work.blocks[k]
        if k == 0 and not course.shuffle:
            source, start = data.X, first * net.sizes[0]
        gemm(1, 0, end - row, fan_out, rows, source, start + row, fan_in, work.delta, work.blocks[k + 1], fan_out,
             g, w + row * fan_out, fan_out)  # fmt: skip
        if rank == 0:
            for j in range(fan_out):
                column = work.sums[work.units[k] + j]
                for r in range(1, n_ranks):
                    column += work.sums[r * work.n_sums + work.units[k] + j]
                g[b + j] = column
        if course.hyper[CLIP_NORM] > 0.0:
            square_sum += squares(p, g, w + row * fan_out, w + end * fan_out, l2)
            if rank == 0:
                square_sum += squares(p, g, b, b + fan_out, zero)
        elif course.rule != NO_UPDATE:
            first_weight, last_weight = w + row * fan_out, w + end * fan_out
            update(course.rule, p, g, memory.state, first_weight, last_weight, n_padded, h, h.decay, l2, one)
            if rank == 0:
                update(course.rule, p, g, memory.state, b, b + fan_out, n_padded, h, one, zero, one)
    if course.hyper[CLIP_NORM] > 0.0 and course.rule != NO_UPDATE:
        work.partial[rank * PARTIAL_COLUMNS + SQUARES] = square_sum
        meetings = meet(barrier, n_ranks, meetings)
        square_sum = 0.0
        for r in range(n_ranks):
            square_sum += work.partial[r * PARTIAL_COLUMNS + SQUARES]
        clip = clip_factor(course.hyper[CLIP_NORM], square_sum, p)
        for k in range(n_layers):
            fan_in, fan_out = net.sizes[k], net.sizes[k + 1]
            first_weight = net.weight_offsets[k] + fan_in * rank // n_ranks * fan_out
            last_weight = net.weight_offsets[k] + fan_in * (rank + 1) // n_ranks * fan_out
            update(course.rule, p, g, memory.state, first_weight, last_weight, n_padded, h, h.decay, l2, clip)
            if rank == 0:
                b = net.bias_offsets[k]
                update(course.rule, p, g, memory.state, b, b + fan_out, n_padded, h, one, zero, clip)
    return meetings


_loop = make_loop(gradient, finish)


@kernel
def train(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps):
    """n_steps of training from first_step on. Everything it changes is in memory and work."""
    _loop(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps)


@kernel
def evaluate(rank, n_ranks, barrier, net, data, params, work, n_rows, output):
    """Outputs (n_samples, n_outputs), flat, and, if data has targets, loss and hits in work.partial[rank].

    n_rows : rows of a block that each rank may use at a time
    output : written, or empty
    """
    writes = output.size > 0
    _evaluate(rank, n_ranks, bare(net), bare(data), offset(params, 0), bare(work), n_rows, writes, offset(output, 0))


@inlined
def _evaluate(rank, n_ranks, net, data, params, work, n_rows, writes, output):
    width, n_layers, row = net.sizes[net.n_layers], net.n_layers, rank * n_rows
    share = offset(work.partial, rank * PARTIAL_COLUMNS)
    share[LOSS] = share[RIGHT] = 0.0
    for first in range(row, data.n_samples, n_rows * n_ranks):
        rows = min(n_rows, data.n_samples - first)
        x0 = (first - row) * net.sizes[0]  # where row 0 of this block would start
        forward(net, params, data.X, x0, row, rows, work, False, 0, 0)
        o = work.blocks[n_layers] + row * width
        if writes:
            for i in range(rows * width):
                output[first * width + i] = work.a[o + i]
        if data.judged:
            judge(net, data, data.Y, (first - row) * width, data.weight, first - row, row, rows, 0.0, work, share)
