"""Allocation of the workspaces of one net: how long each buffer of a kernel family is, and what each thread owns.

    make_workspace(choice, ...)         every buffer that training or evaluating one net needs
    thread_copy(state, workspace, i)    what thread i owns of them, where each thread has a copy of the net

Nothing here is compiled, so a new process can make a workspace without importing Numba.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..formulas.counter_rng import BLOCK
from ..formulas.update_rules import MOST_STATE
from ..structs import Choice, NetSpec, TrainState, aligned_zeros
from .workspace import (
    ALIASING_STRIDE,
    ALIGNMENT,
    FALSE_SHARING_GAP,
    FILLED_STRIDE,
    GROUP_COLUMNS,
    LANES_LARGE,
    LANES_SMALL,
    LINE_OF_COUNTS,
    PACK_FROM,
    PARTIAL_COLUMNS,
    THREAD_ARRAYS,
    TILE_ROWS,
    WEIGHT_CHUNK_ROWS,
    BatchWorkspace,
    LayerwiseWorkspace,
    chunk_rows,
    packs_weights,
    panel_starts,
    round_up,
    scratch_size,
    weight_chunks,
)

Workspace = LayerwiseWorkspace | BatchWorkspace
LAYERWISE = "layerwise", "layerwise_data_parallel", "layerwise_batch1"  # families with a LayerwiseWorkspace


class WorkspaceRequest(NamedTuple):
    """Sizes and settings on which the lengths of a workspace's buffers depend."""

    choice: Choice
    net: NetSpec
    sizes: list[int]  # of the layers, inputs first
    n_samples: int  # in the data
    shuffle: bool
    dtype: np.dtype

    def zeros(self, n: int) -> np.ndarray:
        return aligned_zeros(n, self.dtype)


def make_workspace(
    choice: Choice, net: NetSpec, n_samples: int, shuffle: bool, dtype: np.dtype, precision: str = "exact"
) -> Workspace:
    """Return the workspace of a kernel family, with every buffer it needs.

    n_samples : number of samples in the data
    shuffle : whether samples are shuffled
    precision : a permission to round, which CPU kernels do not use
    """
    request = WorkspaceRequest(choice, net, [int(size) for size in net.sizes], n_samples, shuffle, dtype)
    workspace: Any = _layerwise_workspace(request) if choice.family in LAYERWISE else _batch_workspace(request)
    n_copies, size = choice.net_copies, FALSE_SHARING_GAP + sum(_thread_copy_sizes(workspace, net.n_padded))
    return workspace._replace(thread_copies=request.zeros(n_copies * size + FALSE_SHARING_GAP if n_copies else 0))


def fits_choice(workspace: Any, choice: Choice) -> bool:
    """Whether a workspace was made for the rows, the shards and the copies of a choice."""
    if isinstance(workspace, LayerwiseWorkspace):
        shapes = workspace.rows, 1 + workspace.has_two_shards, workspace.copies
        return shapes == (choice.rows, choice.n_shards, choice.weight_copies)
    return (workspace.rows, workspace.n_shards) == (choice.rows, choice.n_shards)


def _layerwise_workspace(request: WorkspaceRequest) -> LayerwiseWorkspace:
    choice, net, sizes = request.choice, request.net, request.sizes
    rows, n_threads, sharing_threads = choice.rows, choice.n_threads, choice.sharing_threads
    n_scratch = round_up(scratch_size(max(sizes[1:]), request.dtype.itemsize), ALIGNMENT)
    return LayerwiseWorkspace(
        rows=rows,
        chunk_rows=chunk_rows(rows, net.n_padded, sharing_threads),
        weight_chunks=weight_chunks(sizes, sharing_threads),
        chunks_taken=aligned_zeros((2, n_threads, LINE_OF_COUNTS), np.int64),
        squares=np.zeros(2 * sum(-(-size // WEIGHT_CHUNK_ROWS) for size in sizes)),
        has_two_shards=choice.n_shards > 1,
        n_scratch=n_scratch,
        scratch=aligned_zeros((n_threads, n_scratch), request.dtype),
        **_row_buffers(request),
        **_packed_buffers(request),
        **_sums_and_permutation(request, (-(-rows // TILE_ROWS), GROUP_COLUMNS)),
        **_exchange_buffers(request),
    )


def _row_buffers(request: WorkspaceRequest) -> dict[str, np.ndarray]:
    """Return the buffers that have the rows of a micro-batch: of every layer, and the gathered targets and weights."""
    net, sizes, rows, shuffle = request.net, request.sizes, request.choice.rows, request.shuffle
    starts = np.cumsum([0] + [round_up(rows * size, ALIGNMENT) for size in sizes])
    # Inputs need room only where a shuffled batch is gathered.
    starts[1:] -= 0 if shuffle else starts[1]
    total = int(starts[-1]) + ALIGNMENT
    drops, keeps_z = bool((net.dropout > 0).any()), bool(net.keep_z.any())
    return {
        "row_starts": starts[:-1].astype(np.int64),
        "a": request.zeros(total),
        "z": request.zeros(total if drops or keeps_z else 0),
        "delta": request.zeros(total),
        "mask": request.zeros(total if drops else 0),
        "y": request.zeros(rows * sizes[-1] if shuffle else 0),
        "weight": request.zeros(rows if shuffle else 0),
    }


def _packed_buffers(request: WorkspaceRequest) -> dict[str, Any]:
    """Return the buffers for packed copies of weights and deltas, and where each layer's copies start."""
    choice, sizes, itemsize = request.choice, request.sizes, request.dtype.itemsize
    shapes, rows, outputs = list(pairwise(sizes)), choice.rows, sizes[1:]
    packs = [packs_weights(fan_out, choice.rows_of_thread, choice.n_threads) for fan_out in outputs]
    starts, n_packed = panel_starts(shapes, packs, itemsize)
    deltas, n_delta = panel_starts([(rows, n) for n in outputs], [n >= PACK_FROM for n in outputs], itemsize)
    # The first layer has no transpose.
    panels, n_transposed = panel_starts([(j, i) for i, j in shapes], [k > 0 for k in range(len(shapes))], itemsize)
    copies = choice.weight_copies
    n_packed, n_transposed = n_packed + FALSE_SHARING_GAP, n_transposed + FALSE_SHARING_GAP
    return {
        "copies": copies,
        "packed_starts": starts,
        "n_packed": n_packed,
        "packed": request.zeros(copies * n_packed),
        "transposed_starts": panels,
        "n_transposed": n_transposed,
        "transposed": request.zeros(copies * n_transposed),
        "packed_delta_starts": deltas,
        "packed_delta": request.zeros(n_delta),
    }


def _batch_workspace(request: WorkspaceRequest) -> BatchWorkspace:
    sizes, rows, shards = request.sizes, request.choice.rows, request.choice.n_shards
    is_one_vector = request.choice.family == "batch_simd_4"
    columns = LANES_SMALL if is_one_vector else round_up(-(-rows // shards), LANES_LARGE)
    if columns * request.dtype.itemsize % ALIASING_STRIDE == 0:
        columns += LANES_LARGE
    gap = FALSE_SHARING_GAP if shards > 1 else 0
    units = lambda n: request.zeros(shards * (n * columns + gap))
    return BatchWorkspace(
        units=np.cumsum([0] + sizes).astype(np.int64),
        rows=rows,
        n_shards=shards,
        columns=columns,
        aliasing_stride=ALIASING_STRIDE // request.dtype.itemsize,
        filled=np.full(FILLED_STRIDE * shards, -1, np.int64),
        a=units(sum(sizes)),
        z=units(sum(sizes)),
        delta=units(max(sum(sizes), LANES_LARGE)),
        y=units(sizes[-1]),
        weight=units(1),
        **_sums_and_permutation(request, (max(request.choice.n_threads, shards), PARTIAL_COLUMNS)),
        **_exchange_buffers(request),
    )


def _sums_and_permutation(request: WorkspaceRequest, sums_shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return the buffers for sums of losses and of correct samples, and for the order of shuffled samples."""
    return {
        "partial": aligned_zeros(sums_shape, np.float64),
        "order": np.zeros(request.n_samples if request.shuffle else 0, np.int64),
        "words": np.zeros(BLOCK, np.uint64),
    }


def _exchange_buffers(request: WorkspaceRequest) -> dict[str, np.ndarray]:
    """Return the buffers for the shards' gradients, empty where there is one shard, and none yet for copies."""
    shards = request.choice.n_shards
    n = shards * (request.net.n_padded + FALSE_SHARING_GAP) if shards > 1 else 0
    return {
        "shard_gradients": request.zeros(n),
        "published_gradients": request.zeros(2 * n if request.choice.n_threads > 1 else 0),
        "thread_copies": request.zeros(0),
    }


def thread_arrays(workspace: Any) -> tuple[str, ...]:
    """Return the names of the workspace's arrays that data-parallel threads do not share."""
    return THREAD_ARRAYS if isinstance(workspace, LayerwiseWorkspace) else ()


def _thread_copy_sizes(workspace: Any, n_padded: int) -> list[int]:
    """Return the lengths of a thread's params, grads and state in workspace.replica, and of its thread_arrays."""
    own = [round_up(getattr(workspace, name).size, ALIGNMENT) for name in thread_arrays(workspace)]
    return [n_padded, n_padded, MOST_STATE * n_padded, *own]


def thread_copy(state: TrainState, workspace: Any, thread: int) -> tuple[TrainState, Any]:
    """Return a thread's own training state and workspace, with the parameters and optimiser state of thread 0.

    thread : 1 or more. Threads' arrays are FALSE_SHARING_GAP elements apart.
    """
    sizes = _thread_copy_sizes(workspace, state.params.size)
    first = (thread - 1) * (FALSE_SHARING_GAP + sum(sizes)) + FALSE_SHARING_GAP
    ends = np.cumsum([first, *sizes]).tolist()
    params, grads, vectors, *others = (workspace.thread_copies[start:end] for start, end in pairwise(ends))
    vectors = vectors[: state.state.size]
    params[:], vectors[:] = state.params, state.state
    own = dict(zip(thread_arrays(workspace), others, strict=True))
    if isinstance(workspace, LayerwiseWorkspace):
        packed, transposed = workspace.packed[workspace.n_packed :], workspace.transposed[workspace.n_transposed :]
        own |= {"squares": np.empty_like(workspace.squares), "copies": 1, "packed": packed, "transposed": transposed}
    return state._replace(params=params, grads=grads, state=vectors), workspace._replace(**own)
