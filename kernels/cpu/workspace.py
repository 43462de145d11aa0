"""Workspaces: named tuples of the buffers that CPU kernel families work in; allocation.py makes them.

Nothing here is compiled, so a new process can make a workspace without importing Numba.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..jit.cpu_features import FEATURES, LEVEL2_BYTES
from ..structs import LANES, LARGE_NET_PARAMS, THREAD_STRIDE

# Positions in small arrays of the workspaces below.
FILLED_FIRST, FILLED_N = 0, 1  # in `filled`: index of the first sample, and number of samples
RESERVED_NEXT, RESERVED_END = 0, 1  # in `reserved`: index of the next member to start, and one past the last
EPOCH, NEXT_EVENT = 0, 1  # in `clock`: the block's epochs so far, and the first at whose end a lane has something to do
LOSS_COLUMN, N_CORRECT_COLUMN = 0, 1  # in a row of `partial`: the sums of losses and of correct samples
SUMS = 2
PARTIAL_COLUMNS = THREAD_STRIDE
GROUP_COLUMNS = 2 * SUMS  # per group of TILE_ROWS rows: the sums of even and of odd micro-batches
WEIGHT_CHUNK_ROWS = 16  # rows of a weight matrix that chunks are multiples of, in the layerwise families
LANES_SMALL, LANES_LARGE = 4, 16  # samples in a vector of batch_simd_4 and of batch_simd_16
# Bytes; cache lines whose addresses differ by a multiple of this belong to few sets of a cache, and evict each other.
ALIASING_STRIDE = 2048
ALIGNMENT = LANES  # elements; each layer starts at a multiple of it, a whole vector
# Samples that the unrolled code of populations takes through a net together. A tile has a multiple of them: samples of
# weight 0 fill it up.
INTERLEAVED_SAMPLES = 4

# (bytes of a vector, rows of a product's tile): accumulators, two vectors of B and one of A must fit the registers.
VECTOR_BYTES, TILE_ROWS = (64, 8) if FEATURES.get("avx512f") else (32, 6) if FEATURES.get("avx2") else (16, 4)
UNROLLED_LANES = 32 if VECTOR_BYTES == 64 else 8  # nets of a block in population.train.train_unrolled
# Elements between what different threads write: at least a page. A core that walks along an array prefetches up to the
# end of a page, and a core that writes there must take the cache lines back from it (bench/log/threads.md#page-gap).
FALSE_SHARING_GAP = 1024
CHUNK_SAMPLES = 16  # rows of a batch in a chunk ...
MAX_CHUNKS = 64  # ... unless the batch would have more chunks than this: then a chunk has more rows
LARGE_NET_CHUNK_SAMPLES = 128  # rows of a chunk in nets with more than LARGE_NET_PARAMS
# Where the second-level cache is large, reading the third-level one is slow. Chunks of nets whose weights fill half of
# a large second-level cache have more rows, so that the weights are read less often
# (bench/log/gemm.md#third-level-cache).
LARGE_LEVEL2_BYTES = 2 << 20  # from this size on
FEW_READS_CHUNK_SAMPLES = 64  # rows of such a chunk, at most ...
FEW_READS_CHUNKS = 4  # ... and so few that each thread has this many chunks
CHUNKS_PER_THREAD = 12  # chunks of weights for each thread, at least, but in tiny nets ...
CHUNK_WEIGHTS = 32_768  # ... and weights in a chunk, at most
K_BLOCK = 256  # columns of A that a product takes at a time
# Rows of B that a tile prefetches ahead of its multiply-adds, more than an Intel core reads ahead by itself; 0 for none
# (bench/log/gemm.md#third-level-cache).
B_PREFETCH_ROWS = 16 if VECTOR_BYTES == 64 else 0
# Packing pays in products of PACK_ROWS rows or more, where the rows of A or B are PACK_FROM elements or more apart, so
# that walking down a column is slow (bench/log/gemm.md#packed-weights).
PACK_ROWS, PACK_FROM = 32, 320
PACK_FOR_TWO = 192  # the same as PACK_FROM for two threads, in products with any number of rows
PANELS_FROM = 256  # samples per thread from which a forward pass packs all weights first ...
PANEL_ROWS = 64  # ... and then takes as many rows at a time


def round_up(n: int, unit: int) -> int:
    """Return n rounded up to a multiple of `unit`."""
    return (n + unit - 1) // unit * unit


def scratch_size(n: int, itemsize: int) -> int:
    """Return the number of scratch elements that a product with n columns needs, for numbers of `itemsize` bytes."""
    return K_BLOCK * (n + 2 * VECTOR_BYTES // itemsize) + 2 * K_BLOCK * TILE_ROWS


def panel_starts(shapes: Iterable[tuple[int, int]], packs: Iterable[bool], itemsize: int) -> tuple[np.ndarray, int]:
    """Return (starts, end): the index at which the panels of each matrix start, int64, and their end.

    The start is -1 for a matrix that products read as it is.

    shapes : (rows, columns) of each matrix
    packs : whether it is in panels
    itemsize : bytes of a number
    """
    width, starts, end = 2 * VECTOR_BYTES // itemsize, [], 0
    for (rows, columns), is_packed in zip(shapes, packs, strict=True):
        starts.append(end if is_packed else -1)
        end += round_up(columns, width) * rows if is_packed else 0
    return np.array(starts, np.int64), end


def packs_weights(fan_out: int, rows: int, n_threads: int) -> bool:
    """Whether a layer's W is kept in panels for the forward pass; rows : samples of a batch for each thread"""
    return fan_out >= PACK_FOR_TWO if n_threads == 2 else rows >= PACK_ROWS and fan_out >= PACK_FROM


def tile_size(n_inputs: int, n_outputs: int) -> int:
    """Return the numbers of a tile of unrolled/single_net_loop.py, which holds a batch: for each input, for each target
    and for the weights a vector of LANES_SMALL samples.
    """
    return (n_inputs + n_outputs + 1) * LANES_SMALL


class MicroBatch(NamedTuple):
    """Micro-batch: the rows that go through a net at once, a whole batch or a part of one too large for the caches."""

    index: int  # number of micro-batches before it in this call
    step: int  # number of the optimiser step
    first: int  # index of its first sample in the data, or in their shuffled order
    rows: int  # number of samples
    start: int  # its first row in the batch
    batch_rows: int  # number of samples in the batch


# Workspace of the batch_simd families.
class BatchWorkspace(NamedTuple):
    units: np.ndarray  # int64 (n_layers + 2,), index of each layer's first unit, inputs first
    rows: int  # of a micro-batch, at most
    # Number of shards of a micro-batch; above 1 only in batch_simd_data_parallel. Each shard has its own section of the
    # arrays from `filled` to `weight`; sections of floating-point arrays are FALSE_SHARING_GAP elements apart.
    n_shards: int
    columns: int  # of each shard in a, z, delta, y and weight, at most: a multiple of the lanes
    aliasing_stride: int  # elements, a power of two; the distance between two units must be no multiple of it
    filled: np.ndarray  # int64 (FILLED_STRIDE,), at FILLED_* the samples that a, y and weight hold; -1 for none
    a: np.ndarray  # (n_units, columns), inputs and outputs of every layer
    z: np.ndarray  # as a, inputs of the activations where they are needed, and the logits of the outputs
    delta: np.ndarray
    y: np.ndarray  # (n_outputs, columns)
    weight: np.ndarray  # (columns,)
    shard_gradients: np.ndarray  # flat (n_shards, n_padded + FALSE_SHARING_GAP), the shards' gradients; or empty
    published_gradients: np.ndarray  # twice as many: copies that other threads read, of even and of odd micro-batches
    thread_copies: np.ndarray  # parameters, gradient and optimiser state of each thread but the first
    partial: np.ndarray  # float64 (threads or shards, PARTIAL_COLUMNS), sums of losses and of correct samples
    order: np.ndarray  # int64 (n_samples,) if shuffled
    words: np.ndarray  # uint64 (BLOCK,), scratch of the permutation


FILLED_STRIDE = THREAD_STRIDE  # elements of `filled` from one shard to the next
# Arrays of LayerwiseWorkspace of which each data-parallel thread has its own.
THREAD_ARRAYS = ("a", "z", "delta", "mask", "y", "weight")
LINE_OF_COUNTS = THREAD_STRIDE  # elements from one thread's counter to the next, in `chunks_taken`


def weight_chunks(sizes: list[int], n_threads: int) -> np.ndarray:
    """Return int (n_layers + 1,): the index of each layer's first chunk of weights, and the number of chunks.

    A chunk is a number of rows of W, a multiple of WEIGHT_CHUNK_ROWS, and a corresponding part of b.

    sizes : layer sizes, inputs first
    n_threads : number of threads that share the chunks; 0 if they are not shared: then each layer is one chunk
    """
    if n_threads == 0:
        return np.arange(len(sizes))
    shapes = list(pairwise(sizes))
    fair = sum(i * j for i, j in shapes) // (CHUNKS_PER_THREAD * n_threads)
    largest = min(max(fair, WEIGHT_CHUNK_ROWS), CHUNK_WEIGHTS)
    return np.cumsum([0, *(min(-(-i * j // largest), -(-i // WEIGHT_CHUNK_ROWS)) for i, j in shapes)])


def chunk_rows(rows: int, n_params: int, n_threads: int) -> int:
    """Return the number of rows of a batch in a chunk, a multiple of TILE_ROWS.

    All weights are read once for each chunk, which costs little while they are in a fast third-level cache.

    rows : number of samples in the batch
    n_params : number of parameters of the net
    n_threads : number of threads that share the chunks; 0 if they are not shared: then all rows are one chunk
    """
    if n_threads == 0:
        return rows
    target = CHUNK_SAMPLES
    if n_params > LARGE_NET_PARAMS:
        target = LARGE_NET_CHUNK_SAMPLES
    elif LEVEL2_BYTES >= LARGE_LEVEL2_BYTES and 4 * n_params > LEVEL2_BYTES // 2:  # 4: bytes of float32
        target = max(CHUNK_SAMPLES, min(FEW_READS_CHUNK_SAMPLES, rows // (FEW_READS_CHUNKS * n_threads)))
    return max(1, max(min(target, rows // n_threads), -(-rows // MAX_CHUNKS)) // TILE_ROWS) * TILE_ROWS


# Workspace of the layerwise families.
class LayerwiseWorkspace(NamedTuple):
    rows: int  # of a micro-batch, at most
    chunk_rows: int  # rows in a chunk of a micro-batch
    weight_chunks: np.ndarray  # int64 (n_layers + 1,), index of each layer's first chunk of weights
    # int64 (2, n_threads, LINE_OF_COUNTS), number of chunks of rows, and of weights, taken from each thread's share
    chunks_taken: np.ndarray
    row_starts: np.ndarray  # int64 (n_layers + 1,), where a layer's rows start in a, z, delta and mask
    a: np.ndarray  # outputs of every layer
    # Inputs of the activations where they are needed, outputs before dropout where there is dropout.
    z: np.ndarray
    delta: np.ndarray
    packed_delta: np.ndarray  # deltas in panels, of layers that need them, for a micro-batch or each of its shards
    packed_delta_starts: np.ndarray  # int64 (n_layers,), where a layer's deltas start in packed_delta, -1 for none
    mask: np.ndarray  # as a, or empty without dropout
    y: np.ndarray  # (rows, n_outputs), gathered
    weight: np.ndarray  # (rows,), gathered, or empty
    copies: int  # of `packed` and `transposed`: 2 if each of two threads has its own
    n_packed: int  # elements from one copy in `packed` to the next
    packed: np.ndarray  # copies of W in panels (gemm/gemm.py), of layers that need them, for the forward pass
    packed_starts: np.ndarray  # int64 (n_layers,), where a layer's W starts in a copy, -1 for none
    n_transposed: int  # elements from one copy in `transposed` to the next
    transposed: np.ndarray  # transposes of each W but the first, in panels, for the backward pass
    transposed_starts: np.ndarray  # int64 (n_layers,), where a layer's transpose starts in a copy, -1 for the first
    n_scratch: int
    scratch: np.ndarray  # (n_threads, n_scratch), of matrix products
    # float64, sums of squared gradients, each of WEIGHT_CHUNK_ROWS rows of W or of as many elements of b
    squares: np.ndarray
    has_two_shards: bool  # whether the gradient of a micro-batch is the sum of those of two shards
    shard_gradients: np.ndarray  # flat (2, n_padded + FALSE_SHARING_GAP), the shards' gradients; or empty
    published_gradients: np.ndarray  # twice as many: copies that other threads read, of even and of odd micro-batches
    thread_copies: np.ndarray  # of thread 1: parameters, gradient, optimiser state and THREAD_ARRAYS
    partial: np.ndarray  # float64 (groups of TILE_ROWS rows, GROUP_COLUMNS), sums of losses and of correct samples
    order: np.ndarray  # int64 (n_samples,) if shuffled
    words: np.ndarray  # uint64 (BLOCK,), scratch of the permutation


class LaneBlock(NamedTuple):
    """Block of lanes of one thread, each lane training one net, with the buffers of a tile of samples."""

    units: np.ndarray  # int64 (n_layers + 2,), index of each layer's first unit, inputs first
    tile_rows: int  # samples of a tile, at most
    lanes: int  # kernels put a simd.lanes.Lanes in its place
    # The same as a number that LLVM does not know: loops over a constant number of lanes, even those that run rarely,
    # would become vector code with gathers and scatters.
    n_lanes: int
    filled: np.ndarray  # int64 (2,), at FILLED_* the samples that a, y and weight hold; -1 for none
    a: np.ndarray  # (n_units, tile_rows, lanes), inputs and outputs of every layer
    z: np.ndarray
    delta: np.ndarray
    mask: np.ndarray  # as a, or empty without dropout
    y: np.ndarray  # (n_outputs, tile_rows, lanes)
    weight: np.ndarray  # (tile_rows, lanes)
    order: np.ndarray  # int64 (lanes, n_samples) if shuffled
    words: np.ndarray  # uint64 (BLOCK,), scratch of the permutation
    p: np.ndarray  # (n_params, lanes)
    g: np.ndarray  # (n_params, lanes), the gradient
    state: np.ndarray  # (n_state_rows, n_params, lanes)
    safe_params: np.ndarray  # (n_params, lanes), parameters that gave a finite loss
    best_params: np.ndarray  # (n_params, lanes), parameters of the best epoch, where something is monitored
    hyper: np.ndarray  # (len(NET_HYPER), lanes)
    betas: np.ndarray  # float64 (2, lanes), Adam's betas, at full precision
    powers: np.ndarray  # float64 (2, lanes), their powers
    dropout: np.ndarray  # float64 (n_layers, lanes), rates
    factor: np.ndarray  # (lanes,), the schedule's factor on the learning rate
    loss: np.ndarray  # (lanes,), of the epoch
    n_correct: np.ndarray  # (lanes,), number of correct samples in the epoch
    n_correct_at_end: np.ndarray  # (lanes,), number of correct samples after the last step
    last_loss: np.ndarray  # (lanes,), objective of the last step
    monitored_value: np.ndarray  # (lanes,), at the end of the epoch
    best_value: np.ndarray  # (lanes,), the best monitored value so far
    flags: np.ndarray  # (lanes,), 1 in lanes that the next masked operation is for
    best_epoch: np.ndarray  # int64 (lanes,)
    net_index: np.ndarray  # int64 (lanes,), index of the lane's net, -1 for a free lane
    reserved: np.ndarray  # int64 (2,), at RESERVED_* the members that this thread has taken but not started
    start_epoch: np.ndarray  # int64 (lanes,), the block's epoch in which the net started
    next_record: np.ndarray  # int64 (lanes,), index of the net's next record
    clock: np.ndarray  # int64 (2,), at EPOCH and NEXT_EVENT
    # Of second-order rules; empty for others.
    jacobian: np.ndarray  # (n_params, tile_rows, lanes)
    matrix: np.ndarray  # (n_params * (n_params + 1) / 2, lanes), lower triangle by rows
    trial: np.ndarray  # (n_params, lanes), parameters before a step that may be taken back
    expected: np.ndarray  # (N_PAIRS + 1, lanes), products from which the expected fall of the objective is computed
    # int64 (1,), index one past the last record buffered; used where the lanes' nets are adjacent and record together
    records_end: np.ndarray
    records: np.ndarray  # (MAX_RECORDS, lanes), buffer of records that have not been written to nets.records
    unrolled_address: int  # of the unrolled code of this architecture, 0 if there is none
    batch_size: int  # number of samples in a batch


class NetQueue(NamedTuple):
    """Queue from which the threads of a population take the nets that they train."""

    taken: np.ndarray  # int64 (1,), number of nets.members that threads have taken so far; written
    # int64 (n_state,), index of the setting that a vector of the optimiser state starts from, plus one; 0 for zeros.
    initial: np.ndarray
