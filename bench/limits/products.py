"""The limit of a dense net's training on a CPU: the matrix products of its steps and nothing else.

Per layer a forward product, one for the gradient of W, and one for the gradient of the layer's inputs except in the
first, in compiled code, with the BLAS that Numba uses. "np.dot" lets Numba call it on whole matrices; "gemm" is the
package's own call of the same BLAS. A competitor without a loss: `run` multiplies as many steps as training takes;
for predictions the forward products only.
"""

from __future__ import annotations

import time
from functools import cache

import numpy as np
from competitors import Unsupported


@cache
def make_steps(variant: str):
    """Compiled: steps(sizes, n_samples, a, p, g, d, n_steps, both_ways), all flat

    a, d : (n_samples times all sizes,);  p, g : (n_params,);  both_ways : not only forward
    """
    import numba

    if variant == "np.dot":

        @numba.njit(inline="always")
        def forward(a, p, out, rows, i, o):
            np.dot(a.reshape(rows, i), p.reshape(i, o), out.reshape(rows, o))

        @numba.njit(inline="always")
        def weights(a, d, out, rows, i, o):
            np.dot(a.reshape(rows, i).T, d.reshape(rows, o), out.reshape(i, o))

        @numba.njit(inline="always")
        def inputs(d, p, out, rows, i, o):
            np.dot(d.reshape(rows, o), p.reshape(i, o).T, out.reshape(rows, i))

    else:
        try:
            from limits.blas_gemm import gemm
        except ImportError as reason:
            raise Unsupported(f"needs fastmlp's gemm: {reason}") from None

        @numba.njit(inline="always")
        def forward(a, p, out, rows, i, o):
            gemm(0, 0, rows, o, i, a, 0, i, p, 0, o, out, 0, o)

        @numba.njit(inline="always")
        def weights(a, d, out, rows, i, o):
            gemm(1, 0, i, o, rows, a, 0, i, d, 0, o, out, 0, o)

        @numba.njit(inline="always")
        def inputs(d, p, out, rows, i, o):
            gemm(0, 1, rows, i, o, d, 0, o, p, 0, o, out, 0, i)

    @numba.njit(
        "void(int64[::1], int64, float32[::1], float32[::1], float32[::1], float32[::1], int64, boolean)", nogil=True
    )
    def steps(sizes, n, a, p, g, d, n_steps, both_ways):
        for _ in range(n_steps):
            at, w = 0, 0
            for k in range(len(sizes) - 1):
                i, o = sizes[k], sizes[k + 1]
                after = at + n * i
                forward(a[at:after], p[w : w + i * o], a[after : after + n * o], n, i, o)
                at, w = after, w + i * o + o
            for k in range(len(sizes) - 2 if both_ways else -1, -1, -1):
                i, o = sizes[k], sizes[k + 1]
                before, w = at - n * i, w - i * o - o
                weights(a[before:at], d[at : at + n * o], g[w : w + i * o], n, i, o)
                if k > 0:
                    inputs(d[at : at + n * o], p[w : w + i * o], d[before:at], n, i, o)
                at = before

    return steps


def preload(variant: str) -> None:
    make_steps(variant)


class Implementation:
    def __init__(self, variant: str):
        self.name, self.variant = f"products {variant}", variant

    def prepare(self, case, threads: int) -> float:
        self.w, rng = case, np.random.default_rng(0)
        started = time.perf_counter()
        self.steps = make_steps(self.variant)
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
        w = self.w
        self.steps(self.sizes, w.batch_size, self.a, self.p, self.g, self.d, n_epochs * w.n_steps, w.trains)
