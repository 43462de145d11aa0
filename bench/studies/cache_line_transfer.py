"""Cost of cache lines that one thread writes and another one reads: the study behind layerwise_data_parallel.py.

Run on an otherwise idle machine with two CPUs: python bench/studies/cache_line_transfer.py

In each round one thread writes a buffer, then the other thread reads a buffer, with a barrier after both. Prints
nanoseconds per line of 64 bytes and round: where the reader has a private buffer, where it reads the buffer that was
just written, and the difference.
"""

from __future__ import annotations

import argparse
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
def transfer(thread, barrier, written, read, out, n_rounds):
    barrier_count, a, b = 0, offset(written, 0), offset(read, 0)
    for round_number in range(n_rounds):
        if thread == 0:
            for i in range(0, written.size, LANES):
                store(a, i, fill(a, float(round_number), LANES))
        barrier_count = barrier_wait(barrier, 2, barrier_count)
        if thread == 1:
            s = fill(b, 0.0, LANES)
            for i in range(0, read.size, LANES):
                s += load(b, i, LANES)
            store(out, 0, s)
        barrier_count = barrier_wait(barrier, 2, barrier_count)


def seconds(written: np.ndarray, read: np.ndarray, n_rounds: int) -> float:
    barrier, out = np.zeros(2, np.int64), np.zeros(LANES, np.float32)
    run = lambda thread: transfer(thread, barrier, written, read, out, n_rounds)
    other = threading.Thread(target=run, args=(1,))
    began = time.perf_counter()
    other.start()
    run(0)
    other.join()
    return (time.perf_counter() - began) / n_rounds


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"{'kB':>6} {'private':>8} {'shared':>10} {'difference':>11}")
    for kilobytes in (4, 16, 64, 128, 512, 2048, 8192):
        buffers = aligned_zeros((2, kilobytes * 256), np.float32)
        n_lines, n_rounds = kilobytes * 1024 // LINE, max(20, 200_000 // kilobytes)
        seconds(buffers[0], buffers[0], 2)
        times = [[seconds(buffers[0], read, n_rounds) for read in buffers[::-1]] for _ in range(ROUNDS)]
        private, shared = np.median(times, axis=0) / n_lines * 1e9
        print(f"{kilobytes:6} {private:8.2f} {shared:10.2f} {shared - private:11.2f}", flush=True)


if __name__ == "__main__":
    main()
