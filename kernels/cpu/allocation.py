"""Allocation of the workspaces of one net: how long each buffer of a kernel family is, and what each thread owns.

    make_workspace(choice, ...)         every buffer that training or evaluating one net needs
    thread_copy(state, ws, i)           what thread i owns of them, where each thread has a copy of the net

Nothing here is compiled, so a new process can make a workspace without importing Numba.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ..formulas.counter_rng import BLOCK
from ..formulas.update_rules import MOST_STATE
from ..structs import Choice, NetSpec, TrainState, aligned_zeros
from . import workspace
from .workspace import ALIGNMENT, FALSE_SHARING_GAP, BatchWorkspace, LayerwiseWorkspace, round_up

Workspace = LayerwiseWorkspace | BatchWorkspace
Zeros = Callable[[Any], np.ndarray]  # aligned zeros of the net's dtype, from their number or their shape
LAYERWISE = "layerwise", "layerwise_data_parallel", "layerwise_batch1"  # families with a LayerwiseWorkspace


def make_workspace(
    choice: Choice, net: NetSpec, n_samples: int, shuffle: bool, dtype: np.dtype, precision: str = "exact"
) -> Workspace:
    """Return the workspace of a kernel family, with every buffer it needs.

    n_samples : number of samples in the data
    shuffle : whether samples are shuffled
    precision : a permission to round, which CPU kernels do not use
    """
    zeros, shards = partial(aligned_zeros, dtype=dtype), choice.n_shards
    n = shards * (net.n_padded + FALSE_SHARING_GAP) if shards > 1 else 0
    shared: dict[str, Any] = {
        "rows": choice.rows,
        "shard_gradients": zeros(n),
        "published_gradients": zeros(2 * n if choice.n_threads > 1 else 0),
        "thread_copies": zeros(0),
        "order": np.zeros(n_samples if shuffle else 0, np.int64),
        "words": np.zeros(BLOCK, np.uint64),
    }
    if choice.family in LAYERWISE:
        buffers = _layerwise_buffers(choice, net, shuffle, zeros, dtype.itemsize)
        ws: Any = LayerwiseWorkspace(**buffers, **shared)
    else:
        ws = BatchWorkspace(**_batch_buffers(choice, net, zeros, dtype.itemsize), **shared)
    if not 1 < choice.n_threads <= shards:
        return ws
    size = FALSE_SHARING_GAP + sum(_thread_copy_sizes(ws, net.n_padded))  # of each thread but the first
    return ws._replace(thread_copies=zeros((choice.n_threads - 1) * size + FALSE_SHARING_GAP))


def _layerwise_buffers(choice: Choice, net: NetSpec, shuffle: bool, zeros: Zeros, itemsize: int) -> dict[str, Any]:
    sizes, rows, n_threads, sharing = net.sizes.tolist(), choice.rows, choice.n_threads, choice.sharing_threads
    n_scratch = round_up(workspace.scratch_size(max(sizes[1:]), itemsize), ALIGNMENT)
    # Rows of every layer; inputs need room only where a shuffled batch is gathered.
    starts = np.cumsum([0] + [round_up(rows * size, ALIGNMENT) for size in sizes])
    starts[1:] -= 0 if shuffle else starts[1]
    total = int(starts[-1]) + ALIGNMENT
    drops, keeps_z = bool((net.dropout > 0).any()), bool(net.keep_z.any())
    # Panels: copies of weights, of their transposes (the first layer has none), and of deltas.
    shapes, outputs = list(pairwise(sizes)), sizes[1:]
    packs = [workspace.packs_weights(fan_out, choice.rows_of_thread, n_threads) for fan_out in outputs]
    packed_starts, n_packed = workspace.panel_starts(shapes, packs, itemsize)
    transposes = [(j, i) for i, j in shapes], [k > 0 for k in range(len(shapes))]
    transposed_starts, n_transposed = workspace.panel_starts(*transposes, itemsize)
    deltas = [(rows, n) for n in outputs], [n >= workspace.PACK_FROM for n in outputs]
    packed_delta_starts, n_delta = workspace.panel_starts(*deltas, itemsize)
    n_packed, n_transposed = n_packed + FALSE_SHARING_GAP, n_transposed + FALSE_SHARING_GAP
    return {
        "chunk_rows": workspace.chunk_rows(rows, net.n_padded, sharing),
        "weight_chunks": workspace.weight_chunks(sizes, sharing),
        "chunks_taken": aligned_zeros((2, n_threads, workspace.LINE_OF_COUNTS), np.int64),
        "squares": np.zeros(2 * sum(-(-size // workspace.WEIGHT_CHUNK_ROWS) for size in sizes)),
        "has_two_shards": choice.n_shards > 1,
        "n_scratch": n_scratch,
        "scratch": zeros((n_threads, n_scratch)),
        "row_starts": starts[:-1].astype(np.int64),
        "a": zeros(total),
        "z": zeros(total if drops or keeps_z else 0),
        "delta": zeros(total),
        "mask": zeros(total if drops else 0),
        "y": zeros(rows * sizes[-1] if shuffle else 0),
        "weight": zeros(rows if shuffle else 0),
        "copies": choice.weight_copies,
        "packed_starts": packed_starts,
        "n_packed": n_packed,
        "packed": zeros(choice.weight_copies * n_packed),
        "transposed_starts": transposed_starts,
        "n_transposed": n_transposed,
        "transposed": zeros(choice.weight_copies * n_transposed),
        "packed_delta_starts": packed_delta_starts,
        "packed_delta": zeros(n_delta),
        "partial": aligned_zeros((-(-rows // workspace.TILE_ROWS), workspace.GROUP_COLUMNS), np.float64),
    }


def _batch_buffers(choice: Choice, net: NetSpec, zeros: Zeros, itemsize: int) -> dict[str, Any]:
    sizes, shards, most_lanes = net.sizes.tolist(), choice.n_shards, workspace.LANES_LARGE
    is_one_vector = choice.family == "batch_simd_4"
    columns = workspace.LANES_SMALL if is_one_vector else round_up(-(-choice.rows // shards), most_lanes)
    if columns * itemsize % workspace.ALIASING_STRIDE == 0:
        columns += most_lanes
    gap = FALSE_SHARING_GAP if shards > 1 else 0
    units = lambda n: zeros(shards * (n * columns + gap))
    return {
        "units": np.cumsum([0] + sizes).astype(np.int64),
        "n_shards": shards,
        "columns": columns,
        "aliasing_stride": workspace.ALIASING_STRIDE // itemsize,
        "filled": np.full(workspace.FILLED_STRIDE * shards, -1, np.int64),
        "a": units(sum(sizes)),
        "z": units(sum(sizes)),
        "delta": units(max(sum(sizes), most_lanes)),
        "y": units(sizes[-1]),
        "weight": units(1),
        "partial": aligned_zeros((max(choice.n_threads, shards), workspace.PARTIAL_COLUMNS), np.float64),
    }


def thread_arrays(ws: Any) -> tuple[str, ...]:
    """Return the names of the workspace's arrays that data-parallel threads do not share."""
    return workspace.THREAD_ARRAYS if isinstance(ws, LayerwiseWorkspace) else ()


def _thread_copy_sizes(ws: Any, n_padded: int) -> list[int]:
    """Return the lengths of a thread's params, grads and state in ws.thread_copies, and of its thread_arrays."""
    own = [round_up(getattr(ws, name).size, ALIGNMENT) for name in thread_arrays(ws)]
    return [n_padded, n_padded, MOST_STATE * n_padded, *own]


def thread_copy(state: TrainState, ws: Any, thread: int) -> tuple[TrainState, Any]:
    """Return a thread's own training state and workspace, with the parameters and optimiser state of thread 0.

    thread : 1 or more. Threads' arrays are FALSE_SHARING_GAP elements apart.
    """
    sizes = _thread_copy_sizes(ws, state.params.size)
    first = (thread - 1) * (FALSE_SHARING_GAP + sum(sizes)) + FALSE_SHARING_GAP
    ends = np.cumsum([first, *sizes]).tolist()
    params, grads, vectors, *others = (ws.thread_copies[start:end] for start, end in pairwise(ends))
    vectors = vectors[: state.state.size]
    params[:], vectors[:] = state.params, state.state
    own = dict(zip(thread_arrays(ws), others, strict=True))
    if isinstance(ws, LayerwiseWorkspace):
        packed, transposed = ws.packed[ws.n_packed :], ws.transposed[ws.n_transposed :]
        own |= {"squares": np.empty_like(ws.squares), "copies": 1, "packed": packed, "transposed": transposed}
    return state._replace(params=params, grads=grads, state=vectors), ws._replace(**own)
