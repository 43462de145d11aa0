"""Work stealing: a thread takes its own chunks first, then unfinished chunks of other threads."""

import numba
import numpy as np
import pytest

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.cpu import workspace
from fastmlp.kernels.cpu.threads.work_stealing import next_chunk
from fastmlp.kernels.cpu.workspace import LARGE_NET_PARAMS, LINE_OF_COUNTS, TILE_ROWS, WEIGHT_CHUNK_ROWS, chunk_rows
from fastmlp.kernels.jit.decorators import OPTIONS


@numba.njit(**OPTIONS)
def run_next_chunk(thread, n_threads, counts, n, tried):
    return next_chunk(thread, n_threads, counts, n, tried)


@pytest.mark.parametrize("n_threads", (1, 2, 3, 5))
@pytest.mark.parametrize("n", (0, 1, 2, 7, 40))
def test_every_chunk_is_taken_once(n, n_threads, rng):
    """Threads ask in random order, the first of them far more often."""
    counts = np.zeros(n_threads * LINE_OF_COUNTS, np.int64)
    tried, taken, busy = [0] * n_threads, [[] for _ in range(n_threads)], set(range(n_threads))
    while busy:
        thread = int(min(rng.choice(sorted(busy), 3)))
        chunk, tried[thread] = run_next_chunk(thread, n_threads, counts, n, tried[thread])
        if chunk < 0:
            busy.remove(thread)
        else:
            taken[thread].append(chunk)
    assert sorted(chunk for chunks in taken for chunk in chunks) == list(range(n))


def test_equally_fast_threads_keep_their_own_chunks():
    counts = np.zeros(2 * LINE_OF_COUNTS, np.int64)
    taken = [run_next_chunk(step % 2, 2, counts, 9, 0)[0] for step in range(8)]
    assert taken[::2] == [0, 1, 2, 3]
    assert taken[1::2] == [4, 5, 6, 7]


def test_chunks_of_nets_beyond_a_large_second_level_cache_have_more_rows(monkeypatch):
    """Each chunk reads all weights, from a third-level cache that is slow where the second-level one is large."""
    few = workspace.CHUNK_SAMPLES // TILE_ROWS * TILE_ROWS
    most = workspace.FEW_READS_CHUNK_SAMPLES // TILE_ROWS * TILE_ROWS
    monkeypatch.setattr(workspace, "LEVEL2_BYTES", 2 << 20)
    assert chunk_rows(1000, 670_000, 1) == chunk_rows(1000, 670_000, 2) == most
    assert chunk_rows(256, 670_000, 2) == 32 // TILE_ROWS * TILE_ROWS  # each thread has four chunks
    assert chunk_rows(128, 670_000, 2) == chunk_rows(1000, 100_000, 2) == few
    monkeypatch.setattr(workspace, "LEVEL2_BYTES", 1 << 20)
    assert chunk_rows(1000, 670_000, 2) == few


def test_chunk_rows_depend_on_batch_net_and_threads():
    assert (
        chunk_rows(100, 100, 1)
        == chunk_rows(200, 100, 2)
        == chunk_rows(200, 100, 8)
        == workspace.CHUNK_SAMPLES // TILE_ROWS * TILE_ROWS
    )
    assert chunk_rows(1, 100, 1) == chunk_rows(128, 100, 16) == TILE_ROWS
    assert -(-(10**6) // chunk_rows(10**6, 100, 2)) <= workspace.MAX_CHUNKS + 1
    assert chunk_rows(256, LARGE_NET_PARAMS + 1, 2) == workspace.LARGE_NET_CHUNK_SAMPLES // TILE_ROWS * TILE_ROWS
    assert chunk_rows(256, LARGE_NET_PARAMS + 1, 8) == 32 // TILE_ROWS * TILE_ROWS
    assert chunk_rows(5, LARGE_NET_PARAMS + 1, 8) == TILE_ROWS
    assert chunk_rows(5000, 100, 0) == 5000


@pytest.mark.parametrize("n_threads", (1, 2, 16))
@pytest.mark.parametrize("sizes", [(1, 1), (3, 5000, 2), (784, 512, 512, 10), (64, 64, 10), (2048, 2048, 10)])
def test_weight_chunks_are_bounded_in_size(sizes, n_threads):
    """Chunks are below the limit, or as small as possible."""
    starts = workspace.weight_chunks(list(sizes), n_threads)
    for n, fan_in, fan_out in zip(np.diff(starts), sizes, sizes[1:], strict=False):
        assert 1 <= n <= -(-fan_in // WEIGHT_CHUNK_ROWS)
        assert fan_in * fan_out / n <= max(workspace.CHUNK_WEIGHTS, WEIGHT_CHUNK_ROWS * fan_out)
