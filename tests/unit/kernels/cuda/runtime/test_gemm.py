"""Matrix products of row-major arrays by cuBLAS, which is column-major."""

import itertools

import numpy as np
import pytest
from reference_bfloat16 import from_bfloat16, to_bfloat16
from tolerances import TOLERANCES


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("precision", ("exact", "tf32"))
def test_products_equal_numpy_and_write_only_their_rows(cuda, precision, dtype, rng):
    """Every shape, with one row and one column too; rows of the outputs beyond the product stay unchanged."""
    from fastmlp.kernels.cuda.runtime.gemm import Products

    products, room = Products(np.dtype(dtype), precision), 9
    tolerance = 1e-2 if precision == "tf32" and dtype == "float32" else TOLERANCES["value", dtype]
    for rows, fan_in, fan_out in itertools.product((1, 4, 7), (1, 5), (1, 6)):
        X, W, D = (rng.normal(size=shape) for shape in ((room, fan_in), (fan_in, fan_out), (room, fan_out)))
        x, w, d = (cuda.asarray(array, dtype) for array in (X, W, D))
        out, below = cuda.full((room, fan_out), 9, dtype), cuda.full((room, fan_in), 9, dtype)
        dW = cuda.empty((fan_in, fan_out), dtype)
        products.times(x, w, out, rows)
        products.transposed_times(x, d, dW, rows)
        products.times_transposed(d, w, below, rows)
        np.testing.assert_allclose(out.get()[:rows], X[:rows] @ W, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(dW.get(), X[:rows].T @ D[:rows], rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(below.get()[:rows], D[:rows] @ W.T, rtol=tolerance, atol=tolerance)
        assert (out.get()[rows:] == 9).all()
        assert (below.get()[rows:] == 9).all()


@pytest.mark.parametrize("rounds_result", [True, False])
def test_products_of_bfloat16_equal_numpy(cuda, rounds_result, rng):
    """Operands are bits of bfloat16, and results are rounded once, or float32, whatever their array is."""
    from fastmlp.kernels.cuda.runtime.gemm import Products

    products, room = Products(np.dtype("float32"), "bfloat16"), 9
    dtype, tolerance = (cuda.uint16, 2.0**-8) if rounds_result else (cuda.float32, TOLERANCES["value", "float32"])
    numbers = lambda array: from_bfloat16(array.get()) if rounds_result else array.get()
    for rows, fan_in, fan_out in itertools.product((1, 7), (1, 5), (1, 6)):
        bits = [to_bfloat16(rng.normal(size=shape)) for shape in ((room, fan_in), (fan_in, fan_out), (room, fan_out))]
        x, w, d = map(cuda.asarray, bits)
        X, W, D = (from_bfloat16(array).astype(float) for array in bits)
        out, below = cuda.full((room, fan_out), 9, dtype), cuda.full((room, fan_in), 9, dtype)
        dW = cuda.empty((fan_in, fan_out), dtype)
        products.times(x, w, out, rows)
        products.transposed_times(x, d, dW, rows)
        products.times_transposed(d, w, below, rows)
        for found, A, B in ((out, X[:rows], W), (dW, X[:rows].T, D[:rows]), (below, D[:rows], W.T)):
            scale = np.abs(A) @ np.abs(B)  # of the sums, which may cancel
            assert (np.abs(numbers(found)[: len(A)] - A @ B) <= tolerance * scale).all()
        assert (out.get()[rows:] == 9).all()
        assert (below.get()[rows:] == 9).all()


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("precision", ("exact", "tf32"))
def test_products_of_many_nets_equal_numpy(cuda, precision, dtype, rng):
    """Products of the first three of four nets, with gaps between matrices, and inputs per net or shared."""
    from fastmlp.kernels.cuda.runtime.gemm import Products

    products, room, n, gap = Products(np.dtype(dtype), precision, 3), 9, 4, 5
    tolerance = 1e-2 if precision == "tf32" and dtype == "float32" else TOLERANCES["value", dtype]

    def stack(matrices):
        """Return (array with a gap after each matrix, the matrices in it)."""
        _, rows, columns = matrices.shape
        there = cuda.full((n, rows * columns + gap), 9, dtype)
        there[:, :-gap] = cuda.asarray(matrices.reshape(n, -1), dtype)
        size = there.itemsize
        return there, cuda.ndarray(matrices.shape, dtype, there.data, (there.nbytes // n, columns * size, size))

    for rows, fan_in, fan_out in itertools.product((1, 4, 7), (1, 5), (1, 6)):
        X, W, D = (rng.normal(size=(n, *shape)) for shape in ((room, fan_in), (fan_in, fan_out), (room, fan_out)))
        (_, x), (_, w), (d_array, d) = stack(X), stack(W), stack(D)
        (out_array, out), (below_array, below), (dW_array, dW) = stack(D), stack(X), stack(W)
        products.times(x, w, out, rows)
        products.transposed_times(x, d, dW, rows)
        products.times_transposed(d, w, below, rows)
        for found, expected, before in (
            (out.get()[:, :rows], X[:, :rows] @ W, D[3, :rows]),
            (dW.get(), X[:, :rows].transpose(0, 2, 1) @ D[:, :rows], W[3]),
            (below.get()[:, :rows], D[:, :rows] @ W.transpose(0, 2, 1), X[3, :rows]),
        ):
            np.testing.assert_allclose(found[:3], expected[:3], rtol=tolerance, atol=tolerance)
            np.testing.assert_array_equal(found[3], before.astype(dtype), "the fourth net is left alone")
        np.testing.assert_array_equal(out.get()[:, rows:], D[:, rows:].astype(dtype))
        for array in (d_array, dW_array, out_array, below_array):
            assert (array.get()[:, -gap:] == 9).all()
        products.times(x[:1], w, out, rows)
        np.testing.assert_allclose(out.get()[:3, :rows], X[0, :rows] @ W[:3], rtol=tolerance, atol=tolerance)


def test_products_of_many_nets_in_bfloat16_equal_numpy(cuda, rng):
    """Operands are bits of bfloat16; a result is rounded to it, or float32, whatever its array is."""
    from fastmlp.kernels.cuda.runtime.gemm import Products

    products, n, (rows, fan_in, fan_out) = Products(np.dtype("float32"), "bfloat16", 3), 3, (7, 5, 6)
    shapes = (rows, fan_in), (fan_in, fan_out), (rows, fan_out)
    bits = [to_bfloat16(rng.normal(size=(n, *shape))) for shape in shapes]
    x, w, d = map(cuda.asarray, bits)
    X, W, D = (from_bfloat16(array).astype(float) for array in bits)
    out, dW = cuda.empty((n, rows, fan_out), cuda.uint16), cuda.empty((n, fan_in, fan_out), cuda.float32)
    below = cuda.empty((n, rows, fan_in), cuda.uint16)
    products.times(x, w, out, rows)
    products.transposed_times(x, d, dW, rows)
    products.times_transposed(d, w, below, rows)
    swap = lambda array: array.transpose(0, 2, 1)
    for found, A, B, tolerance in (
        (from_bfloat16(out.get()), X, W, 2.0**-8),
        (dW.get(), swap(X), D, TOLERANCES["value", "float32"]),
        (from_bfloat16(below.get()), D, swap(W), 2.0**-8),
    ):
        assert (np.abs(found - A @ B) <= tolerance * (np.abs(A) @ np.abs(B))).all()


CALLS = [
    ("float32", "exact", "sgemm"),
    ("float64", "exact", "dgemm"),
    ("float32", "tf32", "gemmEx"),
    ("float32", "bfloat16", "gemmEx"),
    ("float64", "bfloat16", "dgemm"),
    ("float64", "tf32", "dgemm"),
]
NAMES = {  # of the products of one net and of many, by CuPy and in the library
    "sgemm": (("sgemm", "cublasSgemm_v2"), ("sgemmStridedBatched", "cublasSgemmStridedBatched")),
    "dgemm": (("dgemm", "cublasDgemm_v2"), ("dgemmStridedBatched", "cublasDgemmStridedBatched")),
    "gemmEx": (("gemmEx", "cublasGemmEx"), ("gemmStridedBatchedEx", "cublasGemmStridedBatchedEx")),
}
COMPUTE = {"tf32": 77, "bfloat16": 68}  # CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32F


@pytest.mark.parametrize("dtype, precision, call", CALLS)
@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("n_nets", [1, 3])
def test_precision_decides_the_cublas_call(emulated_cuda, cuda, dtype, precision, call, wrapped, n_nets):
    """A precision is for float32 only. CuPy's wrappers get the same arguments as the library."""
    emulated_cuda.settings.cublas = not wrapped
    from fastmlp.kernels.cuda.runtime.gemm import Products

    made, called = Products(np.dtype(dtype), precision, n_nets), []
    assert (made._handle is None) == wrapped
    for name in ("_product_of_one", "_product_of_many"):
        real = getattr(made, name)
        setattr(made, name, lambda *a, real=real: (called.append((real.__name__, a)), real(*a)))
    X, out = cuda.ones((n_nets, 2, 2), dtype), cuda.empty((n_nets, 2, 2), dtype)
    if call == "gemmEx" and precision == "bfloat16":
        X = cuda.asarray(to_bfloat16(np.ones((n_nets, 2, 2))))
    made.times(X, X, out, 2)
    assert [name for name, _ in called] == [NAMES[call][n_nets > 1][not wrapped]]
    last = [n_nets] * (n_nets > 1) + [COMPUTE.get(precision), -1] * (call == "gemmEx")  # -1: CUBLAS_GEMM_DEFAULT
    assert not last or called[0][1][-len(last) :] == tuple(last)
    assert (out.get() == 2.0).all()


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("n_nets", [1, 3])
def test_sums_of_rounded_results_are_float32(emulated_cuda, cuda, wrapped, n_nets):
    """The math mode 16 forbids partial sums in the type of the result. CuPy's handle has its own mode again later."""
    from cuda_emulator import libcublas
    from cupy_backends.cuda.libs import cublas

    from fastmlp.kernels.cuda.runtime.gemm import Products

    emulated_cuda.settings.cublas = not wrapped
    ones, out = cuda.asarray(to_bfloat16(np.ones((n_nets, 2, 2)))), cuda.zeros((n_nets, 2, 2), cuda.uint16)
    cublas.setMathMode(0, 1)
    try:
        products = Products(np.dtype("float32"), "bfloat16", n_nets)
        products.times(ones, ones, out, 2)
        assert (from_bfloat16(out.get()) == 2).all()
        assert wrapped or libcublas.handles[products._bound_handle()].math_mode == 16
        assert cublas.getMathMode(0) == 1
    finally:
        cublas.setMathMode(0, 0)
