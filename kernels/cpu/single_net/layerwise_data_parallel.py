"""Data-parallel, layer-by-layer training on two threads: layerwise.py with a copy of the net for each thread.

It pays for nets that have few parameters compared with the activations and deltas of a batch. Each thread takes its
shard of the batch through the forward pass, the backward pass and the weight gradients. Then comes the only barrier of
a step; after it each thread adds up the gradients of both shards and updates its own copy of the net.

The gradient is all that one thread writes and the other one reads; in layerwise.py it is the results of every layer.
Before a core writes to a cache line that the other core has read, it must take the line back: 9 ns a line
(bench/studies/cache_line_transfer.py), more than it takes to compute the contents, and 26 ns where the cores share no
cache.
"""

from __future__ import annotations

from ...jit.decorators import inline_helper, kernel
from ...simd.load_store import offset, scalar_like
from ...structs import NO_UPDATE
from ..workspace import GROUP_COLUMNS, REPLICAS, ROWS
from .gradient_clipping import add_squares, clip_now
from .gradient_exchange import chunk_start, publish_gradient, reduce_shards, shard_gradient
from .layerwise import begin_call as prepare_share
from .layerwise import update_all
from .layerwise_gradients import layer_gradient
from .layerwise_passes import forward_backward, group_sums, n_row_groups
from .optimizer_step import CLIP_NORM
from .training_loop import make_loop

WHOLE = 0, 1  # chunk 0 of 1: all rows of a layer


@inline_helper
def begin_call(rank, n_ranks, net, memory, work):
    prepare_share(0, 1, net, memory, work)


@inline_helper
def compute_gradient(rank, n_ranks, net, data, course, params, grads, work, share, stage):
    scratch, half = offset(work.scratch, rank * work.n_scratch), shard_gradient(work, rank, net.n_padded)
    row, end = chunk_start(rank, n_ranks, stage.rows, ROWS), chunk_start(rank + 1, n_ranks, stage.rows, ROWS)
    forward_backward(rank, net, data, course, params, work, group_sums(work, row, stage.turn, True), stage, row, end)
    if row < end:
        nothing = params, params, 0, 0  # nothing to prefetch: these nets are small
        for k in range(net.n_layers):
            layer_gradient(WHOLE, net, data, course, work, scratch, k, stage, row, end, False, False, half, nothing)
        publish_gradient(work, rank, stage.turn, net.n_padded)
    return n_row_groups(stage.rows)


@inline_helper
def accumulate_gradient(rank, n_ranks, net, data, course, memory, work, stage):
    reduce_shards(rank, n_ranks, work, REPLICAS, stage, ROWS, net.n_padded, memory.grads)


@inline_helper
def apply_gradient(rank, n_ranks, barrier, meetings, net, data, course, memory, work, stage, h):
    accumulate_gradient(rank, n_ranks, net, data, course, memory, work, stage)
    if course.rule == NO_UPDATE:
        return meetings
    clip = scalar_like(memory.params, 1.0)
    if course.hyper[CLIP_NORM] > 0.0:
        for piece in range(work.weight_chunks[net.n_layers]):
            add_squares(net, memory, work, piece)
        clip = clip_now(net, course, memory, work)
    update_all(0, 1, net, course, memory, work, h, clip)
    return meetings


_loop = make_loop(begin_call, compute_gradient, accumulate_gradient, apply_gradient, apart=True, columns=GROUP_COLUMNS)


@kernel
def train(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps):
    """Train for n_steps steps, from step number first_step on, on two threads.

    memory : the thread's own copy of the training state, equal for all threads at the start of a call
    """
    _loop(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps)
