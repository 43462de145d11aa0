"""The memory limit: reads and writes as many arrays as the case needs, with one addition per number written."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from competitors import Unsupported

from fastmlp.kernels.structs import aligned_zeros


@numba.njit(nogil=True, fastmath=True)
def adam_traffic(p, g, m, v):
    """Four arrays read, three written: what an update by Adam moves."""
    for i in range(p.size):
        m[i] += g[i]
        v[i] += g[i]
        p[i] += m[i]


class Implementation:
    def __init__(self, variant: str = ""):
        self.name = "memory"

    def prepare(self, case, threads: int) -> float:
        if not case.adam_params:
            raise Unsupported("nothing is counted for this case")
        started = time.perf_counter()
        arrays = [aligned_zeros(case.adam_params, np.float32) for _ in range(4)]
        self.shards = list(zip(*(np.array_split(a, threads) for a in arrays), strict=True))
        self.pool = ThreadPoolExecutor(threads)
        self.run(1)
        return time.perf_counter() - started

    def reset(self) -> None:
        pass

    def run(self, n: int) -> None:
        def stream(shard):
            for _ in range(n):
                adam_traffic(*shard)

        if len(self.shards) == 1:
            stream(self.shards[0])
        else:
            list(self.pool.map(stream, self.shards))
