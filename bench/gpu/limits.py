"""The GPU's own limits: copies, products, multiply-adds, and the bare products of a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np


def numbers(cupy: Any, precision: str, *shape: int) -> Any:
    """Operands for timing products: normal random numbers, scaled so that they neither grow nor vanish over layers.

    Zeros and ones take less power, and a GPU multiplies them faster. Numbers in bfloat16 are returned as uint16.
    """
    values = np.random.default_rng(0).standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[-2]))
    if precision == "bfloat16":
        values = (values.view(np.uint32) >> 16).astype(np.uint16)
    return cupy.asarray(values)


def median_time(run: Callable[[], Any], wait: Callable[[], Any], n: int) -> float:
    """Mean seconds of one run(), over n runs in a row."""
    wait()
    start = time.perf_counter()
    for _ in range(n):
        run()
    wait()
    return (time.perf_counter() - start) / n


def limits(cupy: Any, size: int, n: int, repeats: int) -> dict[str, float]:
    """Rates of copies, float32 products and multiply-adds.

    size : numbers to copy
    n : rows and columns of the square product
    repeats : multiply-adds of each register in multiply_add_rate
    """
    source, target = cupy.ones(size, cupy.float32), cupy.empty(size, cupy.float32)
    wait = cupy.cuda.get_current_stream().synchronize
    cupy.copyto(target, source)
    copy = min(median_time(lambda: cupy.copyto(target, source), wait, 5) for _ in range(5))
    a = numbers(cupy, "exact", n, n)
    a @ a
    product = min(median_time(lambda: a @ a, wait, 3) for _ in range(3))
    return {
        "copy GB/s": 8e-9 * size / copy,
        "sgemm GFLOP/s": 2e-9 * n**3 / product,
        "multiply-adds/s": multiply_add_rate(cupy, repeats),
    }


def multiply_add_rate(cupy: Any, repeats: int) -> float:
    """float32 multiply-adds per second of a kernel that does nothing else."""
    code = """extern "C" __global__ void run(float* x, int repeats) {
      float v[8];
      for (int q = 0; q < 8; ++q) v[q] = x[q];
      for (int r = 0; r < repeats; ++r)
        for (int q = 0; q < 8; ++q) v[q] = v[q] * 1.0000001f + 0.5f;
      float sum = 0.0f;
      for (int q = 0; q < 8; ++q) sum += v[q];
      if (sum == 0.0f) x[0] = sum;
    }"""
    kernel = cupy.RawModule(code=code, backend="nvrtc").get_function("run")
    x, blocks = cupy.ones(8, cupy.float32), 16 * cupy.cuda.Device().attributes["MultiProcessorCount"]
    run = lambda: kernel((blocks,), (256,), (x, np.int32(repeats)))
    wait = cupy.cuda.get_current_stream().synchronize
    run()
    return 8.0 * repeats * 256 * blocks / min(median_time(run, wait, 3) for _ in range(3))


def bare_products(cupy: Any, sizes: tuple[int, ...], batch: int, precision: str) -> tuple[Callable[[], None], int]:
    """(run, steps of a run): the products of training steps of one net, in this precision; gradients are float32."""
    from fastmlp.kernels.cuda.runtime.gemm import Products

    matrices = lambda kind: lambda i, j: numbers(cupy, kind, i, j)
    return _steps(Products(np.dtype(np.float32), precision), sizes, batch, matrices(precision), matrices("exact"))


def bare_products_of_nets(
    cupy: Any, sizes: tuple[int, ...], n_nets: int, batch: int, precision: str
) -> tuple[Callable[[], None], int]:
    """(run, steps of a run): the products of training steps of many nets together; gradients are float32."""
    from fastmlp.kernels.cuda.runtime.gemm import Products

    stacks = lambda kind: lambda i, j: numbers(cupy, kind, n_nets, i, j)
    products = Products(np.dtype(np.float32), precision, n_nets)
    return _steps(products, sizes, batch, stacks(precision), stacks("exact"))


def _steps(
    products: Any,
    sizes: tuple[int, ...],
    batch: int,
    make_matrix: Callable[[int, int], Any],
    make_gradient: Callable[[int, int], Any],
) -> tuple[Callable[[], None], int]:
    """(run, steps of a run), replayed as CUDA graphs like the steps of a fit, if that is possible.

    Called one by one from Python, the products of small nets would wait for the host.

    make_matrix, make_gradient : functions of (i, j) that return a matrix, or a stack with a matrix per net
    """
    from fastmlp.kernels.cuda.runtime.cuda_graphs import LONG_RUN, GraphCache

    a, deltas = [[make_matrix(batch, size) for size in sizes] for _ in range(2)]
    W, gradients = ([make(i, j) for i, j in pairwise(sizes)] for make in (make_matrix, make_gradient))

    def step() -> None:
        for k, w in enumerate(W):
            products.times(a[k], w, a[k + 1], batch)
        for k in range(len(W) - 1, -1, -1):
            products.transposed_times(a[k], deltas[k + 1], gradients[k], batch)
            if k:
                products.times_transposed(deltas[k + 1], W[k], deltas[k], batch)

    # The first run launches some steps, and records the two graphs of later runs.
    replays, n = (GraphCache(), 2 * LONG_RUN)
    can_be_recorded = products.take_workspace()

    def run() -> None:
        if can_be_recorded:
            replays.run(None, n, step)
            return
        for _ in range(n):
            step()

    return run, n
