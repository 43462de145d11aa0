"""Data-parallel training of a small net with samples as SIMD lanes: batch_simd.py for each shard of a batch.

One thread processes all shards, or several threads with a copy of the net each. As in layerwise_data_parallel.py,
gradients are all that one thread writes and another reads, and they are small. The gradient of a batch is the sum over
its shards for one thread too, so parameters have the same bits for any number of threads.
"""

from __future__ import annotations

from ...jit.decorators import expression, inline_helper
from ...simd.load_store import load_scalar, offset
from ..threads.in_kernels import chunk_start
from ..workspace import (
    FALSE_SHARING_GAP,
    FILLED_STRIDE,
    LANES_LARGE,
    LOSS_COLUMN,
    N_CORRECT_COLUMN,
    PARTIAL_COLUMNS,
    BatchWorkspace,
)
from .batch_simd import FAMILY_16, gradient_of_samples
from .batch_simd import apply_gradient as update_net
from .gradient_exchange import publish_gradient, reduce_shards, shard_gradient
from .training_loop import make_train, sums_index

OWN = "filled", "a", "z", "delta", "y", "weight"  # buffers of which each shard has its own
_with_own = expression(
    f"ws, {', '.join(OWN)}",
    f"Workspace({', '.join(name if name in OWN else f'ws.{name}' for name in BatchWorkspace._fields)})",
    Workspace=BatchWorkspace,
)


@inline_helper
def workspace_of_shard(ws, n_layers, shard):
    """Return the workspace of shard `shard`: `ws` with pointers to the shard's own buffers."""
    n_outputs = load_scalar(ws.units, n_layers + 1) - load_scalar(ws.units, n_layers)
    n = shard * (load_scalar(ws.units, n_layers + 1) * ws.columns + FALSE_SHARING_GAP)
    y = offset(ws.y, shard * (n_outputs * ws.columns + FALSE_SHARING_GAP))
    weight, filled = (
        offset(ws.weight, shard * (ws.columns + FALSE_SHARING_GAP)),
        offset(ws.filled, FILLED_STRIDE * shard),
    )
    return _with_own(ws, filled, offset(ws.a, n), offset(ws.z, n), offset(ws.delta, n), y, weight)


@inline_helper
def compute_gradient(thread, n_threads, net, data, config, params, grads, ws, sums, micro_batch):
    scale, rows = 1.0 / (micro_batch.batch_rows * net.loss_width), micro_batch.rows
    for shard in range(ws.n_shards * thread // n_threads, ws.n_shards * (thread + 1) // n_threads):
        row, end = (
            chunk_start(shard, ws.n_shards, rows, LANES_LARGE),
            chunk_start(shard + 1, ws.n_shards, rows, LANES_LARGE),
        )
        sums = offset(ws.partial, sums_index(shard, micro_batch.index, True, PARTIAL_COLUMNS))
        sums[LOSS_COLUMN] = sums[N_CORRECT_COLUMN] = 0.0
        if row < end:
            gradient_of_samples(
                FAMILY_16,
                net,
                data,
                config.shuffle,
                params,
                shard_gradient(ws, shard, net.n_padded),
                workspace_of_shard(ws, net.n_layers, shard),
                sums,
                micro_batch.first + row,
                end - row,
                scale,
            )
            if n_threads > 1:
                publish_gradient(ws, shard, micro_batch.index, net.n_padded)
    return ws.n_shards


@inline_helper
def accumulate_gradient(thread, n_threads, net, data, config, state, ws, micro_batch):
    reduce_shards(thread, n_threads, ws, ws.n_shards, micro_batch, LANES_LARGE, net.n_padded, state.grads)


@inline_helper
def apply_gradient(thread, n_threads, barrier, n_barriers, net, data, config, state, ws, micro_batch, h):
    accumulate_gradient(thread, n_threads, net, data, config, state, ws, micro_batch)
    return update_net(thread, n_threads, barrier, n_barriers, net, data, config, state, ws, micro_batch, h)


# On up to ws.n_shards threads. `state` is the thread's own copy of the training state, equal for all threads at the
# start of a call.
train = make_train(compute_gradient, apply_gradient, accumulate_gradient, double_buffered=True)
