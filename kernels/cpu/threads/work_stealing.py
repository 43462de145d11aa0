"""Who does what of a step: each rank its own part, piece by piece, and then what is left of the others'.

A rank has the same part in every step, so that its numbers stay in its caches. A processor that is slower than the
others, or busy with something else, loses pieces to them instead of keeping them waiting.
"""

from __future__ import annotations

from ...jit.decorators import helper
from ...simd.load_store import offset
from ..single_net.gradient_exchange import chunk_start
from ..workspace import CHUNK_ROWS, LINE_OF_COUNTS
from .barrier import fetch_add_1


@helper
def next_chunk(rank, n_ranks, counts, n, tried):
    """(the next of n pieces for this rank, with how many parts it is through): piece -1 when none is left.

    counts : how many pieces of each rank's part have been taken, LINE_OF_COUNTS apart. tried : at first 0
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
    """(layer, share) of a piece of the weights."""
    k = 0
    while piece >= work.weight_chunks[k + 1]:
        k += 1
    first = work.weight_chunks[k]
    return k, (piece - first, work.weight_chunks[k + 1] - first)


@helper
def chunk_range(share, n):
    """(first, end) of n rows or columns that are piece i of so many: a share."""
    i, n_pieces = share
    return chunk_start(i, n_pieces, n, CHUNK_ROWS), chunk_start(i + 1, n_pieces, n, CHUNK_ROWS)
