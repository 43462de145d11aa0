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


CALLS = [
    ("float32", "exact", "sgemm"),
    ("float64", "exact", "dgemm"),
    ("float32", "tf32", "gemmEx"),
    ("float32", "bfloat16", "gemmEx"),
    ("float64", "bfloat16", "dgemm"),
    ("float64", "tf32", "dgemm"),
]
NAMES = {"sgemm": "cublasSgemm_v2", "dgemm": "cublasDgemm_v2", "gemmEx": "cublasGemmEx"}
COMPUTE = {"tf32": 77, "bfloat16": 68}  # CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32F


@pytest.mark.parametrize("dtype, precision, call", CALLS)
@pytest.mark.parametrize("wrapped", [True, False])
def test_precision_decides_the_cublas_call(emulated_cuda, cuda, dtype, precision, call, wrapped, monkeypatch):
    """A precision is for float32 only. CuPy's wrappers get the same arguments as the library."""
    emulated_cuda.settings.cublas = not wrapped
    from fastmlp.kernels.cuda.runtime import gemm as products

    made, called = products.Products(np.dtype(dtype), precision), []
    assert (made._handle is None) == wrapped
    gemm, gemm_ex = made._gemm, made._gemm_ex
    made._gemm = lambda *a: (called.append(((gemm.__name__), a)), gemm(*a))
    made._gemm_ex = lambda *a: (called.append((gemm_ex.__name__, a)), gemm_ex(*a))
    X, out = cuda.ones((2, 2), dtype), cuda.empty((2, 2), dtype)
    if call == "gemmEx" and precision == "bfloat16":
        X = cuda.asarray(to_bfloat16(np.ones((2, 2))))
    made.times(X, X, out, 2)
    assert [name for name, _ in called] == [call if wrapped else NAMES[call]]
    if call == "gemmEx":
        assert called[0][1][-2:] == (COMPUTE[precision], -1)  # the last one is CUBLAS_GEMM_DEFAULT
    assert out.tolist() == [[2.0, 2.0], [2.0, 2.0]]


@pytest.mark.parametrize("wrapped", [True, False])
def test_sums_of_rounded_results_are_float32(emulated_cuda, cuda, wrapped):
    """The math mode 16 forbids partial sums in the type of the result. CuPy's handle has its own mode again later."""
    from cuda_emulator import libcublas
    from cupy_backends.cuda.libs import cublas

    from fastmlp.kernels.cuda.population.batched_passes import BatchedProducts, Stack
    from fastmlp.kernels.cuda.runtime.gemm import Products

    emulated_cuda.settings.cublas = not wrapped
    ones, out = cuda.asarray(to_bfloat16(np.ones((2, 2)))), cuda.empty((2, 2), cuda.uint16)
    stack = lambda array: Stack.of(array, 0, (2, 2), 4)
    cublas.setMathMode(0, 1)
    try:
        for made, of in ((Products, lambda array: array), (lambda *a: BatchedProducts(*a, 1), stack)):
            out[:] = 0
            products = made(np.dtype("float32"), "bfloat16")
            products.times(of(ones), of(ones), of(out), 2)
            assert (from_bfloat16(out.get()) == 2).all()
            assert wrapped or libcublas.handles[products._bound_handle()].math_mode == 16
        assert cublas.getMathMode(0) == 1
    finally:
        cublas.setMathMode(0, 0)
