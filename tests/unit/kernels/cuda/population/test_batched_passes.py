"""Batched matrix products. Other kernels of a step are tested in test_batched.py."""

import itertools

import numpy as np
import pytest
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
        shared = Stack(x.data, x.shape, 0)
        products.times(shared, w, out, rows)
        np.testing.assert_allclose(
            part(out_array, room, fan_out)[:3, :rows], X[0, :rows] @ W[:3], rtol=tolerance, atol=tolerance
        )


CALLS = [
    ("exact", "float32", "sgemmStridedBatched", "cublasSgemmStridedBatched"),
    ("exact", "float64", "dgemmStridedBatched", "cublasDgemmStridedBatched"),
    ("tf32", "float32", "gemmStridedBatchedEx", "cublasGemmStridedBatchedEx"),
    ("tf32", "float64", "dgemmStridedBatched", "cublasDgemmStridedBatched"),
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
