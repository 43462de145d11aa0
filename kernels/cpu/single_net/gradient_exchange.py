"""What ranks with a net each tell each other: the gradients of the parts of a batch, which each of them adds up.

A rank keeps its parts' gradients, and gives the others a copy that it writes past its caches. A core that writes to a
line which another one has read must first take it back, a line at a time: 9 ns each where the two share a cache, 26 ns
where they do not; written past the caches a line takes 2.4 ns, and reading it 8 instead of 6.5 (bench/LOG.md).
"""

from __future__ import annotations

from llvmlite import ir

from ...jit.cpu_features import IS_X86
from ...jit.decorators import helper
from ...simd.load_store import load, offset, store, store_past_caches
from ..threads.barrier import system_call
from ..workspace import FALSE_SHARING_GAP
from .elementwise import LANES

# Before a sign that numbers are there: stores past the caches are not in order with others.
store_fence = system_call("llvm.x86.sse.sfence" if IS_X86 else None, ir.VoidType())


@helper
def chunk_start(rank, n_ranks, n, unit):
    """Where a rank's share of n begins, in whole units: the tiles of products then divide it well."""
    return min(n, (n * rank // n_ranks + unit - 1) // unit * unit)


@helper
def shard_gradient(work, part, n):
    """The gradient (n,) of a part, for the rank that has it."""
    return offset(work.parts_own, part * (n + FALSE_SHARING_GAP))


@helper
def _published(work, part, turn, n):
    """The copy of it for the others: each even turn's place is another one than each odd turn's, since ranks are never
    further than one stage apart."""
    return offset(work.parts_given, (2 * part + turn % 2) * (n + FALSE_SHARING_GAP))


@helper
def publish_gradient(work, part, turn, n):
    own, given = shard_gradient(work, part, n), _published(work, part, turn, n)
    for i in range(0, n, LANES):
        store_past_caches(given, i, load(own, i, LANES))
    store_fence()


@helper
def reduce_shards(rank, n_ranks, work, n_parts, stage, unit, n, grads):
    """grads = the sum of the parts' gradients, of those that have rows; start_of says which. After the first stage of a
    batch they are added.
    """
    is_first = stage.start == 0
    for part in range(n_parts):
        if chunk_start(part, n_parts, stage.rows, unit) < chunk_start(part + 1, n_parts, stage.rows, unit):
            is_mine = n_parts * rank // n_ranks <= part < n_parts * (rank + 1) // n_ranks
            gradient = shard_gradient(work, part, n) if is_mine else _published(work, part, stage.turn, n)
            for i in range(0, n, LANES):
                v = load(gradient, i, LANES)
                store(grads, i, v if is_first else load(grads, i, LANES) + v)
            is_first = False
