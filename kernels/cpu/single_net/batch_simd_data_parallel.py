"""A small net with many samples: batch_simd.py for each part of a batch, by one thread or by several with a net each.

As in layerwise_data_parallel.py, all that one rank writes and another one reads are gradients, which are small; and a
batch's gradient is the sum of its parts' for one rank too, so that parameters come out the same, bit by bit.
"""

from __future__ import annotations

from ...jit.decorators import inlined, kernel
from ...simd.load_store import at, offset
from ..workspace import FILLED, GAP, LOSS, PARTIAL_COLUMNS, RIGHT, WIDE, SampleWork
from .batch_simd import finish as update_net
from .batch_simd import gradient_wide, prepare
from .gradient_exchange import add_parts, give, own_part, start_of
from .training_loop import make_loop, share_of


@inlined
def work_of(work, n_layers, part):
    """A part's own memory."""
    n_outputs = at(work.units, n_layers + 1) - at(work.units, n_layers)
    n = part * (at(work.units, n_layers + 1) * work.columns + GAP)
    return SampleWork(
        work.units, work.rows, work.parts, work.columns, work.colliding, offset(work.filled, FILLED * part),
        offset(work.a, n), offset(work.z, n), offset(work.delta, n),
        offset(work.y, part * (n_outputs * work.columns + GAP)), offset(work.weight, part * (work.columns + GAP)),
        work.parts_own, work.parts_given, work.replica, work.partial, work.order, work.words,
    )  # fmt: skip


@inlined
def gradient(rank, n_ranks, net, data, course, params, grads, work, share, stage):
    scale, rows = 1.0 / (stage.batch_rows * net.loss_width), stage.rows
    for part in range(work.parts * rank // n_ranks, work.parts * (rank + 1) // n_ranks):
        row, end = start_of(part, work.parts, rows, WIDE), start_of(part + 1, work.parts, rows, WIDE)
        sums = offset(work.partial, share_of(part, stage.turn, True, PARTIAL_COLUMNS))
        sums[LOSS] = sums[RIGHT] = 0.0
        if row < end:
            gradient_wide(
                net, data, course.shuffle, params, own_part(work, part, net.n_padded),
                work_of(work, net.n_layers, part), sums, stage.first + row, end - row, scale,
            )  # fmt: skip
            if n_ranks > 1:
                give(work, part, stage.turn, net.n_padded)
    return work.parts


@inlined
def complete(rank, n_ranks, net, data, course, memory, work, stage):
    add_parts(rank, n_ranks, work, work.parts, stage, WIDE, net.n_padded, memory.grads)


@inlined
def finish(rank, n_ranks, barrier, meetings, net, data, course, memory, work, stage, h):
    complete(rank, n_ranks, net, data, course, memory, work, stage)
    return update_net(rank, n_ranks, barrier, meetings, net, data, course, memory, work, stage, h)


_loop = make_loop(prepare, gradient, complete, finish, apart=True)


@kernel
def train(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps):
    """n_steps of training from first_step on, by up to work.parts ranks, each with a memory of its own that starts
    out the same."""
    _loop(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps)
