"""The limits of a GPU, through CuPy: the matrix products of a step by cuBLAS, and multiply-adds in registers.

The counterpart of products.py and arithmetic.py, with the same operation counts.
"""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
from competitors import Unsupported

THREADS = 2**20  # enough to fill any GPU many times over
CHAINS = 8
BODY = """
float v[8];
for (int c = 0; c < 8; ++c) v[c] = c;
for (long long i = 0; i < iterations; ++i)
    for (int c = 0; c < 8; ++c) v[c] = fmaf(v[c], x, 1.0f);
float sum = 0.0f;
for (int c = 0; c < 8; ++c) sum += v[c];
y = sum;
"""


def numbers(cupy, precision: str, *shape: int):
    """Operands for timing products: normal random numbers, scaled so that they neither grow nor vanish over layers.

    Zeros and ones take less power, and a GPU multiplies them faster. Numbers in bfloat16 are returned as uint16.
    """
    values = np.random.default_rng(0).standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[-2]))
    if precision == "bfloat16":
        values = (values.view(np.uint32) >> 16).astype(np.uint16)
    return cupy.asarray(values)


class Implementation:
    def __init__(self, variant: str):
        self.variant = variant

    def prepare(self, case, threads: int) -> float:
        import cupy

        if not cupy.cuda.is_available():
            raise Unsupported("CuPy finds no GPU")
        self.cupy, self.case = cupy, case
        started = time.perf_counter()
        self.job = {"products": self.products, "arithmetic": self.arithmetic}[self.variant]()
        self.run(1)
        return time.perf_counter() - started

    def products(self):
        """Steps, replayed as CUDA graphs as those of a fit if that is possible: one by one, small ones would wait."""
        from fastmlp.kernels.cuda.runtime.cuda_graphs import GraphCache
        from fastmlp.kernels.cuda.runtime.gemm import Products

        case, nets = self.case, [self.case.n_nets] * bool(self.case.n_nets)
        make = lambda kind, *shape: numbers(self.cupy, kind, *nets, *shape)
        a, deltas = [[make(case.precision, case.batch_size, size) for size in case.layer_sizes] for _ in range(2)]
        W, gradients = [[make(kind, i, j) for i, j in pairwise(case.layer_sizes)] for kind in (case.precision, "exact")]
        products, rows = Products(np.dtype(np.float32), case.precision, *nets), case.batch_size

        def step() -> None:
            for k, w in enumerate(W):
                products.times(a[k], w, a[k + 1], rows)
            for k in range(len(W) - 1 if case.trains else -1, -1, -1):
                products.transposed_times(a[k], deltas[k + 1], gradients[k], rows)
                if k:
                    products.times_transposed(deltas[k + 1], W[k], deltas[k], rows)

        replays = GraphCache() if products.take_workspace() else None

        def run(n: int) -> None:
            n_steps = n * case.n_steps
            if replays:
                replays.run(None, n_steps, step)
            else:
                for _ in range(n_steps):
                    step()

        return run

    def arithmetic(self):
        cupy, case = self.cupy, self.case
        if not case.multiply_adds:
            raise Unsupported("nothing is counted for this case")
        spin = cupy.ElementwiseKernel("float32 x, int64 iterations", "float32 y", BODY, "spin")
        x = cupy.full(THREADS, 0.5, cupy.float32)
        iterations = case.multiply_adds * case.n_units / THREADS / CHAINS
        return lambda n: spin(x, max(1, round(n * iterations)))

    def reset(self) -> None:
        pass

    def run(self, n: int) -> None:
        self.job(n)
        self.cupy.cuda.get_current_stream().synchronize()
