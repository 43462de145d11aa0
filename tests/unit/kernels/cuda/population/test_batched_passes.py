"""Batched matrix products. Other kernels of a step are tested in test_batched.py."""

import itertools

import numpy as np
import pytest
from reference_bfloat16 import from_bfloat16, to_bfloat16
from tolerances import TOLERANCES


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("precision", ("exact", "tf32"))
def test_batched_products_equal_numpy(cuda, precision, dtype, rng):
    """Products of the first three of four nets, with gaps between matrices, and inputs per net or shared."""
    from fastmlp.kernels.cuda.population.batched_passes import BatchedProducts, Stack

    products, room, n, gap = BatchedProducts(np.dtype(dtype), precision, 3), 9, 4, 5
    tolerance = 1e-2 if precision == "tf32" and dtype == "float32" else TOLERANCES["value", dtype]

    def stack(array, shape):
        """Rows of `array` (n, size), with a gap after each."""
        there = cuda.full((n, array.shape[1] + gap), 9, dtype)
        there[:, :-gap] = cuda.asarray(array, dtype)
        return there, Stack.of(there, 0, shape, there.shape[1])

    for rows, fan_in, fan_out in itertools.product((1, 4, 7), (1, 5), (1, 6)):
        X, W, D = (rng.normal(size=(n, *shape)) for shape in ((room, fan_in), (fan_in, fan_out), (room, fan_out)))
        flat = lambda array: array.reshape(n, -1)
        (_, x), (_, w) = stack(flat(X), (room, fan_in)), stack(flat(W), (fan_in, fan_out))
        d_array, d = stack(flat(D), (room, fan_out))
        out_array, out = stack(flat(D), (room, fan_out))
        below_array, below = stack(flat(X), (room, fan_in))
        dW_array, dW = stack(flat(W), (fan_in, fan_out))
        products.times(x, w, out, rows)
        products.transposed_times(x, d, dW, rows)
        products.times_transposed(d, w, below, rows)
        part = lambda array, *shape: array.get()[:, :-gap].reshape(n, *shape)
        for found, expected, before in (
            (part(out_array, room, fan_out)[:, :rows], X[:, :rows] @ W, D[3, :rows]),
            (part(dW_array, fan_in, fan_out), X[:, :rows].transpose(0, 2, 1) @ D[:, :rows], W[3]),
            (part(below_array, room, fan_in)[:, :rows], D[:, :rows] @ W.transpose(0, 2, 1), X[3, :rows]),
        ):
            np.testing.assert_allclose(found[:3], expected[:3], rtol=tolerance, atol=tolerance)
            np.testing.assert_array_equal(found[3], before.astype(dtype), "the fourth net is left alone")
        np.testing.assert_array_equal(part(out_array, room, fan_out)[:, rows:], D[:, rows:].astype(dtype))
        for array in (d_array, dW_array, out_array, below_array):
            assert (array.get()[:, -gap:] == 9).all()
        shared = x._replace(stride=0)
        products.times(shared, w, out, rows)
        np.testing.assert_allclose(
            part(out_array, room, fan_out)[:3, :rows], X[0, :rows] @ W[:3], rtol=tolerance, atol=tolerance
        )


def test_batched_products_of_bfloat16_equal_numpy(cuda, rng):
    """Operands are bits of bfloat16; a result is rounded to it, or float32, whatever its array is."""
    from fastmlp.kernels.cuda.population.batched_passes import BatchedProducts, Stack

    products, n, (rows, fan_in, fan_out) = BatchedProducts(np.dtype("float32"), "bfloat16", 3), 3, (7, 5, 6)
    shapes = (rows, fan_in), (fan_in, fan_out), (rows, fan_out)
    bits = [to_bfloat16(rng.normal(size=(n, *shape))) for shape in shapes]
    of = lambda array: Stack.of(array, 0, array.shape[1:], array[0].size)
    x, w, d = (of(cuda.asarray(array)) for array in bits)
    X, W, D = (from_bfloat16(array).astype(float) for array in bits)
    out, dW = cuda.empty((n, rows, fan_out), cuda.uint16), cuda.empty((n, fan_in, fan_out), cuda.float32)
    below = cuda.empty((n, rows, fan_in), cuda.uint16)
    products.times(x, w, of(out), rows)
    products.transposed_times(x, d, of(dW), rows)
    products.times_transposed(d, w, of(below), rows)
    swap = lambda array: array.transpose(0, 2, 1)
    for found, A, B, tolerance in (
        (from_bfloat16(out.get()), X, W, 2.0**-8),
        (dW.get(), swap(X), D, TOLERANCES["value", "float32"]),
        (from_bfloat16(below.get()), D, swap(W), 2.0**-8),
    ):
        assert (np.abs(found - A @ B) <= tolerance * (np.abs(A) @ np.abs(B))).all()


CALLS = [
    ("exact", "float32", "sgemmStridedBatched", "cublasSgemmStridedBatched"),
    ("exact", "float64", "dgemmStridedBatched", "cublasDgemmStridedBatched"),
    ("tf32", "float32", "gemmStridedBatchedEx", "cublasGemmStridedBatchedEx"),
    ("tf32", "float64", "dgemmStridedBatched", "cublasDgemmStridedBatched"),
    ("bfloat16", "float64", "dgemmStridedBatched", "cublasDgemmStridedBatched"),
]


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("precision, dtype, wrapper, call", CALLS)
def test_precision_decides_the_cublas_call(emulated_cuda, precision, dtype, wrapper, call, wrapped, cuda):
    """TF32 is for float32 only. CuPy's wrappers get the same arguments as the library."""
    emulated_cuda.settings.cublas = not wrapped
    from fastmlp.kernels.cuda.population.batched_passes import BatchedProducts, Stack

    made, called = BatchedProducts(np.dtype(dtype), precision, 3), []
    for name in ("_gemm", "_gemm_ex"):
        real = getattr(made, name)
        setattr(made, name, lambda *a, real=real: (called.append((real.__name__, a)), real(*a)))
    X, out = cuda.ones((3, 2, 2), dtype), cuda.empty((3, 2, 2), dtype)
    x = Stack.of(X, 0, (2, 2), 4)
    made.times(x, x, Stack.of(out, 0, (2, 2), 4), 2)
    assert [name for name, _ in called] == [wrapper if wrapped else call]
    if precision == "tf32" and dtype == "float32":
        assert called[0][1][-3:] == (3, 77, -1)  # nets, CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_GEMM_DEFAULT
    assert (out.get() == 2.0).all()
