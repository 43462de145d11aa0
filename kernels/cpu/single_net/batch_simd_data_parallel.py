"""Data-parallel training of a small net with samples as SIMD lanes: batch_simd.py for each shard of a batch.

One thread processes all shards, or several threads with a copy of the net each. As in layerwise_data_parallel.py,
gradients are all that one thread writes and another reads, and they are small. The gradient of a batch is the sum over
its shards for one thread too, so parameters have the same bits for any number of threads.
"""

from __future__ import annotations

from ...jit.decorators import inline_helper, kernel
from ...simd.load_store import load_scalar, offset
from ..workspace import FALSE_SHARING_GAP, FILLED, LANES_LARGE, LOSS, PARTIAL_COLUMNS, RIGHT, BatchWorkspace
from .batch_simd import apply_gradient as update_net
from .batch_simd import begin_call, gradient_wide
from .gradient_exchange import chunk_start, publish_gradient, reduce_shards, shard_gradient
from .training_loop import make_loop, sums_index


@inline_helper
def work_of(work, n_layers, part):
    """Return the workspace of shard `part`: `work` with pointers to the shard's own buffers."""
    n_outputs = load_scalar(work.units, n_layers + 1) - load_scalar(work.units, n_layers)
    n = part * (load_scalar(work.units, n_layers + 1) * work.columns + FALSE_SHARING_GAP)
    return BatchWorkspace(
        work.units,
        work.rows,
        work.parts,
        work.columns,
        work.colliding,
        offset(work.filled, FILLED * part),
        offset(work.a, n),
        offset(work.z, n),
        offset(work.delta, n),
        offset(work.y, part * (n_outputs * work.columns + FALSE_SHARING_GAP)),
        offset(work.weight, part * (work.columns + FALSE_SHARING_GAP)),
        work.parts_own,
        work.parts_given,
        work.replica,
        work.partial,
        work.order,
        work.words,
    )


@inline_helper
def compute_gradient(rank, n_ranks, net, data, course, params, grads, work, share, stage):
    scale, rows = 1.0 / (stage.batch_rows * net.loss_width), stage.rows
    for part in range(work.parts * rank // n_ranks, work.parts * (rank + 1) // n_ranks):
        row, end = (
            chunk_start(part, work.parts, rows, LANES_LARGE),
            chunk_start(part + 1, work.parts, rows, LANES_LARGE),
        )
        sums = offset(work.partial, sums_index(part, stage.turn, True, PARTIAL_COLUMNS))
        sums[LOSS] = sums[RIGHT] = 0.0
        if row < end:
            gradient_wide(
                net,
                data,
                course.shuffle,
                params,
                shard_gradient(work, part, net.n_padded),
                work_of(work, net.n_layers, part),
                sums,
                stage.first + row,
                end - row,
                scale,
            )
            if n_ranks > 1:
                publish_gradient(work, part, stage.turn, net.n_padded)
    return work.parts


@inline_helper
def accumulate_gradient(rank, n_ranks, net, data, course, memory, work, stage):
    reduce_shards(rank, n_ranks, work, work.parts, stage, LANES_LARGE, net.n_padded, memory.grads)


@inline_helper
def apply_gradient(rank, n_ranks, barrier, meetings, net, data, course, memory, work, stage, h):
    accumulate_gradient(rank, n_ranks, net, data, course, memory, work, stage)
    return update_net(rank, n_ranks, barrier, meetings, net, data, course, memory, work, stage, h)


_loop = make_loop(begin_call, compute_gradient, accumulate_gradient, apply_gradient, apart=True)


@kernel
def train(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps):
    """Train for n_steps steps, from step number first_step on, on up to work.parts threads.

    memory : the thread's own copy of the training state, equal for all threads at the start of a call
    """
    _loop(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps)
