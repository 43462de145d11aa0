"""The limit of a dense net's training on a CPU: the matrix products of its steps and nothing else.

Per layer a forward product, one for the gradient of W, and one for the gradient of the layer's inputs except in the
first, in compiled code, by the BLAS that Numba uses (blas_gemm.py). A competitor without a loss: `run` multiplies as
many steps as training takes; for predictions the forward products only.
"""

from __future__ import annotations

import time
from functools import cache

import numba
import numpy as np

from limits.blas_gemm import gemm

SIGNATURE = "void(int64[::1], int64, float32[::1], float32[::1], float32[::1], float32[::1], int64, boolean)"


@cache
def make_steps():
    """Compiled: steps(sizes, n_samples, a, p, g, d, n_steps, trains), all arrays flat.

    a, d : (n_samples times all sizes,)   activations and deltas of every layer
    p, g : (n_params,)                    parameters and their gradient
    trains : not only the forward products
    """

    @numba.njit(SIGNATURE, nogil=True)
    def steps(sizes, n, a, p, g, d, n_steps, trains):
        for _ in range(n_steps):
            at, w = 0, 0
            for k in range(len(sizes) - 1):
                i, o = sizes[k], sizes[k + 1]
                after = at + n * i
                gemm(0, 0, n, o, i, a[at:after], p[w : w + i * o], a[after : after + n * o])
                at, w = after, w + i * o + o
            for k in range(len(sizes) - 2 if trains else -1, -1, -1):
                i, o = sizes[k], sizes[k + 1]
                before, w = at - n * i, w - i * o - o
                gemm(1, 0, i, o, n, a[before:at], d[at : at + n * o], g[w : w + i * o])
                if k > 0:
                    gemm(0, 1, n, i, o, d[at : at + n * o], p[w : w + i * o], d[before:at])
                at = before

    return steps


def preload(variant: str) -> None:
    make_steps()


class Implementation:
    def __init__(self, variant: str):
        self.variant = variant

    def prepare(self, case, threads: int) -> float:
        self.case, rng = case, np.random.default_rng(0)
        started = time.perf_counter()
        self.steps = make_steps()
        self.sizes = np.array(case.layer_sizes)
        self.a, self.d = (np.empty(case.batch_size * sum(case.layer_sizes), np.float32) for _ in range(2))
        self.p, self.g = (np.empty(case.n_params, np.float32) for _ in range(2))
        self.first = {name: rng.uniform(-0.1, 0.1, len(getattr(self, name))).astype(np.float32) for name in "adpg"}
        self.reset()
        self.run(1)
        return time.perf_counter() - started

    def reset(self) -> None:
        """Values that neither vanish nor overflow: products only read p, so they stay of one size."""
        for name, values in self.first.items():
            getattr(self, name)[:] = values

    def run(self, n_epochs: int) -> None:
        case = self.case
        n_steps = n_epochs * case.n_steps
        self.steps(self.sizes, case.batch_size, self.a, self.p, self.g, self.d, n_steps, case.trains)
