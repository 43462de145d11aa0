"""Work stealing: a thread takes its own chunks first, then unfinished chunks of other threads."""

from itertools import product

import numba
import numpy as np

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.cpu.threads.in_kernels import next_chunk
from fastmlp.kernels.cpu.workspace import LINE_OF_COUNTS
from fastmlp.kernels.jit.decorators import OPTIONS


@numba.njit(**OPTIONS)
def run_next_chunk(thread, n_threads, counts, n, tried):
    return next_chunk(thread, n_threads, counts, n, tried)


def test_every_chunk_is_taken_once(rng):
    """Threads ask in random order, the first of them far more often."""
    for n_threads, n in product((1, 2, 3, 5), (0, 1, 2, 7, 40)):
        counts = np.zeros(n_threads * LINE_OF_COUNTS, np.int64)
        tried, taken, busy = [0] * n_threads, [], set(range(n_threads))
        while busy:
            thread = int(min(rng.choice(sorted(busy), 3)))
            chunk, tried[thread] = run_next_chunk(thread, n_threads, counts, n, tried[thread])
            if chunk < 0:
                busy.remove(thread)
            else:
                taken.append(chunk)
        assert sorted(taken) == list(range(n))
