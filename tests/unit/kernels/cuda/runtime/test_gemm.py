"""Matrix products of row-major arrays by cuBLAS, which is column-major."""

import itertools

import numpy as np
import pytest
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


CALLS = [
    ("float32", "exact", "sgemm"),
    ("float64", "exact", "dgemm"),
    ("float32", "tf32", "gemmEx"),
    ("float32", "float16", "gemmEx"),
    ("float32", "bfloat16", "gemmEx"),
    ("float64", "bfloat16", "dgemm"),
    ("float64", "tf32", "dgemm"),
]
NAMES = {"sgemm": "cublasSgemm_v2", "dgemm": "cublasDgemm_v2", "gemmEx": "cublasGemmEx"}


@pytest.mark.parametrize("dtype, precision, call", CALLS)
@pytest.mark.parametrize("wrapped", [True, False])
def test_precision_decides_the_cublas_call(emulated_cuda, cuda, dtype, precision, call, wrapped, monkeypatch):
    """TF32 is for float32 only. CuPy's wrappers get the same arguments as the library."""
    emulated_cuda.settings.cublas = not wrapped
    from fastmlp.kernels.cuda.runtime import gemm as products

    made, called = products.Products(np.dtype(dtype), precision), []
    assert (made._handle is None) == wrapped
    gemm, gemm_ex = made._gemm, made._gemm_ex
    made._gemm = lambda *a: (called.append(((gemm.__name__), a)), gemm(*a))
    made._gemm_ex = lambda *a: (called.append((gemm_ex.__name__, a)), gemm_ex(*a))
    X, out = cuda.ones((2, 2), dtype), cuda.empty((2, 2), dtype)
    made.times(X, X, out, 2)
    assert [name for name, _ in called] == [call if wrapped else NAMES[call]]
    if call == "gemmEx":
        assert called[0][1][-2:] == (77, -1)  # CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_GEMM_DEFAULT
    assert out.tolist() == [[2.0, 2.0], [2.0, 2.0]]
