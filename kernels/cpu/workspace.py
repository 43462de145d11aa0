"""The memory that the CPU's kernels work in: a named tuple per family, which backend.py fills with arrays.

Nothing here is compiled, so that a new process can make it without importing Numba.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..jit.cpu_features import FEATURES

LOSS, RIGHT = 0, 1  # columns of `partial`
SUMS = 2
PARTIAL_COLUMNS = 16  # two cache lines a rank, so that ranks do not share one
GROUP_COLUMNS = 2 * SUMS  # of a group of ROWS rows, whose sums are the same whatever rank has it: even and odd turns'
CHUNK_ROWS = 16  # rows of a weight matrix that a rank's share is a multiple of, in per_layer
LANES_SMALL, LANES_LARGE = 4, 16  # samples in a vector of the two per_sample families
ALIASING_STRIDE = (
    2048  # bytes; a cache has few places for lines that lie multiples of it apart, as units' columns would
)
LANES = 16  # nets of a block: an AVX-512 register of float32, two of AVX2
INTERLEAVED_SAMPLES = (
    4  # samples of a straight-line program in turn; a tile has a multiple of them, the last perhaps of weight 0
)

# (bytes of a vector, rows of a product's tile): accumulators, two vectors of B and one of A must fit the registers
VECTOR_BYTES, ROWS = (64, 8) if FEATURES.get("avx512f") else (32, 6) if FEATURES.get("avx2") else (16, 4)
UNROLLED_LANES = 32 if VECTOR_BYTES == 64 else 8  # of a block of straight-line programs, where LANES suit them less
REPLICAS = 2  # ranks of the family of that name
FAR_CYCLES = 200  # cycles of the processor's counter that a meeting of two ranks takes if they share no cache
# Elements between what different ranks write: a page at least. A core that walks along an array fetches ahead, up to
# the end of a page, and whoever writes there must take the lines back from it (bench/LOG.md).
FALSE_SHARING_GAP = 1024
PIECE_ROWS, MOST_PIECES = 16, 64  # rows of a batch that a rank takes at a time, or more in batches that have many ...
LARGE_NET_PARAMS, LARGE_PIECE_ROWS = 2_000_000, 128  # parameters up to which that is so, and rows above
PIECE_WEIGHTS, PIECES_OF_RANK = 32_768, 12  # ... and weights, or fewer in nets that have few
K_BLOCK = 256  # columns of A that a product takes at a time
PACK_ROWS = 32  # rows of a product from which copying B pays ...
PACK_FROM = 320  # ... and elements between rows of A or B from which walking down a column is slow; bench/LOG.md
PANELS_FROM, PANEL_ROWS = (
    256,
    64,
)  # samples of a rank from which a forward pass has panels, rows it takes at a time then
PACK_FOR_TWO = 192  # the same for weights that two ranks read, whatever their rows


def scratch_size(n: int, itemsize: int) -> int:
    """Elements of scratch that a product with n columns of numbers of `itemsize` bytes needs."""
    return K_BLOCK * (n + 2 * VECTOR_BYTES // itemsize) + 2 * K_BLOCK * ROWS


def panel_starts(sizes: list[int], itemsize: int) -> np.ndarray:
    """(n_layers + 1,) where the transposes of the layers' W start, in panels, and where the last one ends: in elements.
    The first layer has none.
    """
    width = 2 * VECTOR_BYTES // itemsize
    lengths = [-(-fan_in // width) * width * fan_out for fan_in, fan_out in pairwise(sizes)]
    return np.cumsum([0, 0, *lengths[1:]])


def packed_starts(sizes: list[int], rows: int, ranks: int, itemsize: int) -> tuple[np.ndarray, int]:
    """(n_layers,) where the layers' W start in panels, -1 for those that are read as they are, and where the last one
    ends: in elements. rows : of each rank
    """
    width, starts, end = 2 * VECTOR_BYTES // itemsize, [], 0
    for fan_in, fan_out in pairwise(sizes):
        packs = fan_out >= PACK_FOR_TWO if ranks == 2 else rows >= PACK_ROWS and fan_out >= PACK_FROM
        starts.append(end if packs else -1)
        end += -(-fan_out // width) * width * fan_in if packs else 0
    return np.array(starts, np.int64), end


def packed_delta_starts(sizes: list[int], rows: int, itemsize: int) -> tuple[np.ndarray, int]:
    """The same for the layers' deltas, of a batch of `rows`."""
    width, starts, end = 2 * VECTOR_BYTES // itemsize, [], 0
    for fan_out in sizes[1:]:
        packs = fan_out >= PACK_FROM
        starts.append(end if packs else -1)
        end += -(-fan_out // width) * width * rows if packs else 0
    return np.array(starts, np.int64), end


def tile_size(n_inputs: int, n_outputs: int) -> int:
    """Numbers of one batch in one_net: inputs, targets and weights, a NARROW vector each."""
    return (n_inputs + n_outputs + 1) * LANES_SMALL


class MicroBatch(NamedTuple):
    """The rows that ranks are at: a batch, or of one that is too large for caches, some."""

    turn: int  # how many came before it in this call
    step: int
    first: int  # its first sample: an index of the data, or of their order
    rows: int
    start: int  # its first row in the batch ...
    batch_rows: int  # ... which has so many


class BatchWorkspace(NamedTuple):
    units: np.ndarray  # int64 (n_layers + 2,), index of each layer's first unit, inputs first
    rows: int  # of a stage at the most
    parts: int  # of a stage, in sample_replicas: from `filled` to `weight` each has a piece; floats are GAP
    columns: int  # of a piece of a, z, delta, y, weight at the most: a multiple of the lanes
    colliding: int  # elements, a power of two; units may not be a multiple of them apart
    filled: np.ndarray  # int64 (FILLED,): first sample and number of samples of the stage in a, y, weight, -1 for none
    a: np.ndarray  # (n_units, columns), inputs and outputs of every layer
    z: np.ndarray
    delta: np.ndarray
    y: np.ndarray  # (n_outputs, columns)
    weight: np.ndarray  # (columns,)
    parts_own: np.ndarray  # flat (parts, n_padded + GAP), their gradients, or empty ...
    parts_given: np.ndarray  # ... as much, twice: copies for other ranks, of even and of odd steps ...
    replica: np.ndarray  # ... and what is each rank's own but rank 0's: parameters, gradient, state
    partial: np.ndarray  # float64 (parts, PARTIAL_COLUMNS)
    order: np.ndarray  # int64 (n_samples,) if shuffled
    words: np.ndarray  # uint64 (BLOCK,), scratch of the permutation


FILLED = 16  # two cache lines
OWN = "a", "z", "delta", "mask", "y", "weight"  # of LayerwiseWorkspace, what each of two replicas has for itself


LINE_OF_COUNTS = 16  # int64: two cache lines


def weight_chunks(sizes: list[int], ranks: int) -> np.ndarray:
    """(n_layers + 1,) the number of each layer's first piece of the weights that ranks take, and how many there are:
    rows of W in whole units, and as much of b. A layer is one piece if nobody shares it, which is ranks 0.
    """
    if ranks == 0:
        return np.arange(len(sizes))
    shapes = list(pairwise(sizes))
    most = min(max(sum(i * j for i, j in shapes) // (PIECES_OF_RANK * ranks), CHUNK_ROWS), PIECE_WEIGHTS)
    return np.cumsum([0, *(min(-(-i * j // most), -(-i // CHUNK_ROWS)) for i, j in shapes)])


def chunk_rows(rows: int, n_params: int, ranks: int) -> int:
    """Rows of a batch that a rank takes at a time, in whole tiles; all of them if nobody shares them, which is ranks 0.
    All weights pass by once for each piece, which is free while they stay in the third-level cache.
    """
    if ranks == 0:
        return rows
    enough = PIECE_ROWS if n_params <= LARGE_NET_PARAMS else LARGE_PIECE_ROWS
    return max(1, max(min(enough, rows // ranks), -(-rows // MOST_PIECES)) // ROWS) * ROWS


class LayerwiseWorkspace(NamedTuple):
    rows: int  # of a stage at the most
    piece: int  # rows of it that a rank takes at a time
    weight_chunks: np.ndarray  # int64 (n_layers + 1,), the number of each layer's first piece of the weights
    taken: np.ndarray  # int64 (2, n_ranks, LINE_OF_COUNTS), how many pieces of each rank's part, of batch and weights
    blocks: np.ndarray  # int64 (n_layers + 1,), where a layer's rows start in a, z, delta and mask
    a: np.ndarray  # outputs of every layer
    z: np.ndarray  # inputs to f where they are kept, raw outputs where dropout hides them
    delta: np.ndarray
    packed_delta: np.ndarray  # of each layer that needs it its delta in panels, for a stage or each of its halves
    delta_packs: np.ndarray  # int64 (n_layers,), where a layer's start, -1 for one that has none
    mask: np.ndarray  # as a, or empty without dropout
    y: np.ndarray  # (rows, n_outputs), gathered
    weight: np.ndarray  # (rows,), gathered, or empty
    copies: int  # of `packed` and `transposed`: 2 if each of two ranks has its own
    n_packed: int  # from a copy to the next, as n_transposed
    packed: np.ndarray  # of each W that needs it a copy in panels, see cpu/gemm/gemm.py, for training's way there
    packs: np.ndarray  # int64 (n_layers,), where a layer's start, -1 for one that has none
    n_transposed: int
    transposed: np.ndarray  # of each W but the first its transpose in panels, for the way back
    panels: np.ndarray  # int64 (n_layers,), where a layer's start
    n_scratch: int
    scratch: np.ndarray  # (n_ranks, n_scratch), of products
    squares: np.ndarray  # float64, a sum of squared gradients per UNIT rows of W and per UNIT elements of b
    halves: bool  # whether the gradient is the sum of two halves of each stage
    parts_own: np.ndarray  # flat (2, n_padded + GAP), the halves' gradients, or empty ...
    parts_given: np.ndarray  # ... as much, twice: copies for the other rank, of even and of odd steps ...
    replica: np.ndarray  # ... and all that is rank 1's own: parameters, gradient, state, and OWN
    partial: np.ndarray  # float64 (groups of ROWS rows, GROUP_COLUMNS)
    order: np.ndarray  # int64 (n_samples,) if shuffled
    words: np.ndarray  # uint64 (BLOCK,), scratch of the permutation


class LaneBlock(NamedTuple):
    """One rank's lanes, and the buffers of a tile of up to `rows` samples."""

    units: np.ndarray  # int64 (n_layers + 2,), index of each layer's first unit, inputs first
    rows: int
    lanes: int  # where the compiler must not know their number and unroll a loop of bookkeeping
    filled: np.ndarray  # int64 (2,), first sample and number of samples that a, y and weight hold; -1 none
    a: np.ndarray  # (n_units, rows, lanes), inputs and outputs of every layer
    z: np.ndarray
    delta: np.ndarray
    mask: np.ndarray  # as a, or empty without dropout
    y: np.ndarray  # (n_outputs, rows, lanes)
    weight: np.ndarray  # (rows, lanes)
    order: np.ndarray  # int64 (lanes, n_samples) if shuffled
    words: np.ndarray  # uint64 (BLOCK,), scratch of the permutation
    p: np.ndarray  # (n_params, lanes)
    g: np.ndarray
    state: np.ndarray  # (MOST_STATE, n_params, lanes)
    safe: np.ndarray  # (n_params, lanes), parameters that gave a finite loss
    best: np.ndarray  # (n_params, lanes), those of the best epoch, if one is looked for
    hyper: np.ndarray  # (len(NET_HYPER), lanes)
    betas: np.ndarray  # float64 (2, lanes), Adam's, at full precision
    powers: np.ndarray  # float64 (2, lanes)
    dropout: np.ndarray  # float64 (n_layers, lanes)
    factor: np.ndarray  # (lanes,), the schedule's
    loss: np.ndarray  # (lanes,), of the epoch
    right: np.ndarray
    right_at_end: np.ndarray  # (lanes,), after the last step
    last_loss: np.ndarray  # (lanes,), of the last step
    watched: np.ndarray  # (lanes,), what early stopping compares
    best_value: np.ndarray
    flags: np.ndarray  # (lanes,), 1 where something happened
    best_epoch: np.ndarray  # int64 (lanes,)
    net: np.ndarray  # int64 (lanes,), whose lane it is, -1 nobody's
    taken: np.ndarray  # int64 (2,), which members this rank has taken but not begun: the first, and one past the last
    start: np.ndarray  # int64 (lanes,), the block's epoch in which the net started
    record: np.ndarray  # int64 (lanes,), its next record
    clock: np.ndarray  # int64 (2,), the block's epochs so far, and the one at whose end a lane is due
    kept: np.ndarray  # int64 (1,), how many records lanes that are alike have ...
    records: np.ndarray  # (MOST_RECORDS, lanes), ... and those of them that they have not handed out
    straight_line: int  # address of the compiled gradient of this architecture, 0 if there is none
    train_rows: int  # rows of a batch
