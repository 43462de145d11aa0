"""Work stealing: a thread processes its own chunks first, then takes unfinished chunks of other threads.

A thread has the same chunks in every step, so that its data stay in its caches. A processor that is slower than the
others, or busy with something else, loses chunks to other threads instead of keeping them waiting.
"""

from __future__ import annotations

from ...jit.decorators import helper
from ...simd.load_store import offset
from ..single_net.gradient_exchange import chunk_start
from ..workspace import LINE_OF_COUNTS, WEIGHT_CHUNK_ROWS
from .barrier import fetch_add_1


@helper
def next_chunk(rank, n_ranks, counts, n, tried):
    """Return (chunk, tried): the next of n chunks for this thread, or -1 if none is left, and the next call's `tried`.

    counts : for each thread, how many of its own chunks have been taken, LINE_OF_COUNTS elements apart
    tried : number of threads whose chunks are known to be taken, 0 at first
    """
    while tried < n_ranks:
        owner = (rank + tried) % n_ranks
        piece = n * owner // n_ranks + fetch_add_1(offset(counts, owner * LINE_OF_COUNTS))
        if piece < n * (owner + 1) // n_ranks:
            return piece, tried
        tried += 1
    return -1, tried


@helper
def layer_of_chunk(work, piece):
    """Return (k, (i, n)) for a chunk of the weights: chunk i of the n chunks of layer k."""
    k = 0
    while piece >= work.weight_chunks[k + 1]:
        k += 1
    first = work.weight_chunks[k]
    return k, (piece - first, work.weight_chunks[k + 1] - first)


@helper
def chunk_range(share, n):
    """Return (first, end) of the rows or columns, out of n, in one chunk of a layer.

    share : (i, n_pieces) for chunk i of n_pieces
    """
    i, n_pieces = share
    return chunk_start(i, n_pieces, n, WEIGHT_CHUNK_ROWS), chunk_start(i + 1, n_pieces, n, WEIGHT_CHUNK_ROWS)
