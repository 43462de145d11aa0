"""Data-parallel, layer-by-layer training on two threads: layerwise.py with a copy of the net for each thread.

It pays for nets that have few parameters compared with the activations and deltas of a batch. Each thread takes its
shard of the batch through the forward pass, the backward pass and the weight gradients. Then comes the only barrier of
a step; after it each thread adds up the gradients of both shards and updates its own copy of the net.

The gradient is all that one thread writes and the other one reads; in layerwise.py it is the results of every layer.
Before a core writes to a cache line that the other core has read, it must take the line back: 9 ns a line
(bench/log/threads.md#cache-line-transfer), more than it takes to compute the contents, and 26 ns where the cores share
no cache.
"""

from __future__ import annotations

from ...jit.decorators import inline_helper
from ...simd.load_store import offset, scalar_like
from ...structs import DATA_PARALLEL_THREADS, NO_UPDATE
from ..threads.in_kernels import LayerChunk, chunk_start
from ..workspace import GROUP_COLUMNS, TILE_ROWS
from .gradient_exchange import publish_gradient, reduce_shards, shard_gradient
from .layerwise import begin_call as pack_weights
from .layerwise import update_all
from .layerwise_gradients import UpdatedVectors, layer_gradient
from .layerwise_passes import forward_backward, group_sums, layer_inputs, n_row_groups
from .optimizer_step import CLIP_NORM, add_squares, clip_now
from .training_loop import make_train


@inline_helper
def begin_call(thread, n_threads, net, state, ws):
    pack_weights(0, 1, net, state, ws)


@inline_helper
def compute_gradient(thread, n_threads, net, data, config, params, grads, ws, sums, micro_batch):
    scratch, gradient = offset(ws.scratch, thread * ws.n_scratch), shard_gradient(ws, thread, net.n_padded)
    row, end = (
        chunk_start(thread, n_threads, micro_batch.rows, TILE_ROWS),
        chunk_start(thread + 1, n_threads, micro_batch.rows, TILE_ROWS),
    )
    forward_backward(
        thread, net, data, config, params, ws, group_sums(ws, row, micro_batch.index, True), micro_batch, row, end
    )
    if row < end:
        vectors = UpdatedVectors(params, params, 0, 0)  # nothing to prefetch: these nets are small
        for k in range(net.n_layers):
            inputs = layer_inputs(net, data, config, ws, k, micro_batch)
            layer_gradient(LayerChunk(k, 0, 1), net, ws, scratch, inputs, row, end, False, False, gradient, vectors)
        publish_gradient(ws, thread, micro_batch.index, net.n_padded)
    return n_row_groups(micro_batch.rows)


@inline_helper
def accumulate_gradient(thread, n_threads, net, data, config, state, ws, micro_batch):
    reduce_shards(thread, n_threads, ws, DATA_PARALLEL_THREADS, micro_batch, TILE_ROWS, net.n_padded, state.grads)


@inline_helper
def apply_gradient(thread, n_threads, barrier, n_barriers, net, data, config, state, ws, micro_batch, h):
    accumulate_gradient(thread, n_threads, net, data, config, state, ws, micro_batch)
    if config.rule == NO_UPDATE:
        return n_barriers
    clip = scalar_like(state.params, 1.0)
    if config.hyper[CLIP_NORM] > 0.0:
        for chunk in range(ws.weight_chunks[net.n_layers]):
            add_squares(net, state, ws, chunk)
        clip = clip_now(net, config, state, ws)
    update_all(0, 1, net, config, state, ws, h, clip, True)
    return n_barriers


# On two threads. `state` is the thread's own copy of the training state, equal for all threads at the start of a call.
train = make_train(
    compute_gradient, apply_gradient, accumulate_gradient, begin_call, double_buffered=True, columns=GROUP_COLUMNS
)
