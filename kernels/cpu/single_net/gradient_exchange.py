"""All-reduce: each thread publishes its shards' gradients, and every thread adds up all of them.

A thread keeps its shards' gradients in its own buffers, and publishes a copy that it writes past the caches
(non-temporal stores). A core that writes to a cache line which another core has read must first take the line back:
9 ns a line where the two cores share a cache, 26 ns where they do not. Between two cores that share no cache, a line
that is written past the caches takes 2.4 ns, and the reader needs 8 ns instead of 6.5
(bench/log/threads.md#non-temporal-gradients).
"""

from __future__ import annotations

from llvmlite import ir

from ...jit.cpu_features import IS_X86
from ...jit.decorators import helper
from ...simd.load_store import load, offset, store, store_past_caches
from ...structs import LANES
from ..threads.in_kernels import chunk_start, system_call
from ..workspace import FALSE_SHARING_GAP

# Needed before a thread signals that its data are complete: stores past the caches are not ordered with other stores.
store_fence = system_call("llvm.x86.sse.sfence" if IS_X86 else None, ir.VoidType())


@helper
def shard_gradient(ws, shard, n):
    """Return the gradient (n,) of shard `shard` as the thread that owns the shard writes it."""
    return offset(ws.shard_gradients, shard * (n + FALSE_SHARING_GAP))


@helper
def _published(ws, shard, index, n):
    """Return the published copy (n,) of the gradient of shard `shard`.

    index : number of the micro-batch in the call

    Double-buffered: threads are at most one micro-batch apart, so even and odd micro-batches use different slots.
    """
    return offset(ws.published_gradients, (2 * shard + index % 2) * (n + FALSE_SHARING_GAP))


@helper
def publish_gradient(ws, shard, index, n):
    own, published = shard_gradient(ws, shard, n), _published(ws, shard, index, n)
    for i in range(0, n, LANES):
        store_past_caches(published, i, load(own, i, LANES))
    store_fence()


@helper
def reduce_shards(thread, n_threads, ws, n_shards, micro_batch, unit, n, grads):
    """Sum the shards' gradients into grads (n,): the first micro-batch of a batch overwrites it, later ones add to it.

    Shards that have no rows, according to chunk_start, are left out. n is a multiple of LANES; unit is that of
    chunk_start.
    """
    overwrites, rows = micro_batch.start == 0, micro_batch.rows
    for shard in range(n_shards):
        if chunk_start(shard, n_shards, rows, unit) < chunk_start(shard + 1, n_shards, rows, unit):
            is_own = n_shards * thread // n_threads <= shard < n_shards * (thread + 1) // n_threads
            gradient = shard_gradient(ws, shard, n) if is_own else _published(ws, shard, micro_batch.index, n)
            for i in range(0, n, LANES):
                v = load(gradient, i, LANES)
                store(grads, i, v if overwrites else load(grads, i, LANES) + v)
            overwrites = False
