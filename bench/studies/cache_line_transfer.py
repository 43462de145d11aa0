"""Cost of cache lines that one thread writes and another one reads, the study behind layerwise_data_parallel.py.

Run on an otherwise idle machine with two processors: python bench/studies/cache_line_transfer.py

One thread writes a buffer, they meet, the other thread reads a buffer, they meet. Prints nanoseconds a line of 64 bytes
and turn: where the reader has a buffer of its own, where it reads what has just been written, and the difference.
"""

from __future__ import annotations

import threading
import time

import numba
import numpy as np

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what the kernels' helpers are
from fastmlp.kernels.cpu.threads.barrier import barrier_wait
from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd.load_store import fill, load, offset, store
from fastmlp.kernels.structs import LINE, aligned_zeros

LANES, ROUNDS = 16, 7


@numba.njit(nogil=True, **OPTIONS)
def take_turns(thread, barrier, written, read, out, n_turns):
    barrier_count, a, b = 0, offset(written, 0), offset(read, 0)
    for turn in range(n_turns):
        if thread == 0:
            for i in range(0, written.size, LANES):
                store(a, i, fill(a, float(turn), LANES))
        barrier_count = barrier_wait(barrier, 2, barrier_count)
        if thread == 1:
            s = fill(b, 0.0, LANES)
            for i in range(0, read.size, LANES):
                s += load(b, i, LANES)
            store(out, 0, s)
        barrier_count = barrier_wait(barrier, 2, barrier_count)


def seconds(written: np.ndarray, read: np.ndarray, n_turns: int) -> float:
    barrier, out = np.zeros(2, np.int64), np.zeros(LANES, np.float32)
    run = lambda thread: take_turns(thread, barrier, written, read, out, n_turns)
    other = threading.Thread(target=run, args=(1,))
    began = time.perf_counter()
    other.start()
    run(0)
    other.join()
    return (time.perf_counter() - began) / n_turns


def main() -> None:
    print(f"{'kB':>6} {'own ns':>8} {'shared ns':>10} {'difference':>11}")
    for kilobytes in (4, 16, 64, 128, 512, 2048, 8192):
        buffers = aligned_zeros((2, kilobytes * 256), np.float32)
        n_lines, n_turns = kilobytes * 1024 // LINE, max(20, 200_000 // kilobytes)
        seconds(buffers[0], buffers[0], 2)
        times = [[seconds(buffers[0], read, n_turns) for read in buffers[::-1]] for _ in range(ROUNDS)]
        own, shared = np.median(times, axis=0) / n_lines * 1e9
        print(f"{kilobytes:6} {own:8.2f} {shared:10.2f} {shared - own:11.2f}", flush=True)


if __name__ == "__main__":
    main()
