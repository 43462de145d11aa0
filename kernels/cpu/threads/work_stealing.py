"""Work stealing: a thread processes its own chunks first, then chunks that other threads have not begun.

A thread has the same chunks in every step, so that its data stay in its caches. A processor that is slower than the
others, or busy with something else, loses chunks to other threads instead of keeping them waiting.
"""

from __future__ import annotations

from typing import NamedTuple

from ...jit.decorators import helper
from ...simd.load_store import offset
from ..workspace import LINE_OF_COUNTS, WEIGHT_CHUNK_ROWS
from .barrier import fetch_add_1


@helper
def chunk_start(i, n_chunks, n, unit):
    """Return where chunk i of n_chunks equal chunks of n begins.

    Rounded up to a multiple of `unit`, so that a chunk consists of whole tiles of a matrix product.
    """
    return min(n, (n * i // n_chunks + unit - 1) // unit * unit)


@helper
def next_chunk(thread, n_threads, counts, n, n_tried):
    """Return (chunk, n_tried): the next of n chunks for this thread, -1 if none is left, and n_tried for the next call.

    counts : for each thread, how many of its own chunks have been taken, LINE_OF_COUNTS elements apart
    n_tried : number of threads whose chunks are known to be taken, 0 at first
    """
    while n_tried < n_threads:
        owner = (thread + n_tried) % n_threads
        chunk = n * owner // n_threads + fetch_add_1(offset(counts, owner * LINE_OF_COUNTS))
        if chunk < n * (owner + 1) // n_threads:
            return chunk, n_tried
        n_tried += 1
    return -1, n_tried


class LayerChunk(NamedTuple):
    """Chunk of the weights: chunk `index` of the n_chunks chunks of a layer."""

    layer: int
    index: int
    n_chunks: int


@helper
def layer_of_chunk(ws, chunk):
    """Return the LayerChunk with this number."""
    k = 0
    while chunk >= ws.weight_chunks[k + 1]:
        k += 1
    first = ws.weight_chunks[k]
    return LayerChunk(k, chunk - first, ws.weight_chunks[k + 1] - first)


@helper
def chunk_range(chunk, n):
    """Return (first, end) of a LayerChunk's part of n: of the rows of W, n being fan_in, or of b, n being fan_out."""
    i, n_chunks = chunk.index, chunk.n_chunks
    return chunk_start(i, n_chunks, n, WEIGHT_CHUNK_ROWS), chunk_start(i + 1, n_chunks, n, WEIGHT_CHUNK_ROWS)
