"""The limits of a GPU, through CuPy: matrix products by cuBLAS, multiply-adds in registers, memory traffic.

The counterpart of products.py, arithmetic.py and memory.py, with the same operation counts.
"""

from __future__ import annotations

import time
from itertools import pairwise

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


class Implementation:
    def __init__(self, variant: str):
        self.name, self.variant = variant, variant

    def prepare(self, case, threads: int) -> float:
        import cupy

        if not cupy.cuda.is_available():
            raise Unsupported("CuPy finds no GPU")
        self.cupy, self.case = cupy, case
        started = time.perf_counter()
        self.job = {"products": self.products, "arithmetic": self.arithmetic, "memory": self.memory}[self.variant]()
        self.run(1)
        return time.perf_counter() - started

    def products(self):
        cupy, case = self.cupy, self.case
        a = [cupy.full((case.batch_size, size), 0.01, cupy.float32) for size in case.layer_sizes]
        W = [cupy.full(shape, 0.01, cupy.float32) for shape in pairwise(case.layer_sizes)]
        d, g = [cupy.empty_like(x) for x in a], [cupy.empty_like(m) for m in W]

        def run(n):
            for _ in range(n * case.n_steps):
                for k, m in enumerate(W):
                    cupy.matmul(a[k], m, out=d[k + 1])
                for k in reversed(range(len(W) if case.trains else 0)):
                    cupy.matmul(a[k].T, a[k + 1], out=g[k])
                    if k:
                        cupy.matmul(a[k + 1], W[k].T, out=d[k])

        return run

    def arithmetic(self):
        cupy, case = self.cupy, self.case
        if not case.multiply_adds:
            raise Unsupported("nothing is counted for this case")
        spin = cupy.ElementwiseKernel("float32 x, int64 iterations", "float32 y", BODY, "spin")
        x = cupy.full(THREADS, 0.5, cupy.float32)
        iterations = case.multiply_adds * case.n_units / THREADS / CHAINS
        return lambda n: spin(x, max(1, round(n * iterations)))

    def memory(self):
        cupy, n_params = self.cupy, self.case.adam_params
        if not n_params:
            raise Unsupported("nothing is counted for this case")
        stream = cupy.ElementwiseKernel(
            "float32 g", "float32 p, float32 m, float32 v", "m += g; v += g; p += m", "stream"
        )
        g, p, m, v = (cupy.zeros(n_params, cupy.float32) for _ in range(4))

        def run(n):
            for _ in range(n):
                stream(g, p, m, v)

        return run

    def reset(self) -> None:
        pass

    def run(self, n: int) -> None:
        self.job(n)
        self.cupy.cuda.Device().synchronize()
