"""Matrix products of row-major arrays by cuBLAS, which is column-major."""

import itertools

import numpy as np
import pytest
from reference_bfloat16 import from_bfloat16, to_bfloat16
from tolerances import TOLERANCES

# dtype, precision -> function of the products of one net and of many, by CuPy and in the library; type of the sums
SGEMM = ("sgemm", "cublasSgemm_v2"), ("sgemmStridedBatched", "cublasSgemmStridedBatched")
DGEMM = ("dgemm", "cublasDgemm_v2"), ("dgemmStridedBatched", "cublasDgemmStridedBatched")
GEMM_EX = ("gemmEx", "cublasGemmEx"), ("gemmStridedBatchedEx", "cublasGemmStridedBatchedEx")
CALLS = {
    ("float32", "exact"): (SGEMM, None),
    ("float32", "tf32"): (GEMM_EX, 77),  # CUBLAS_COMPUTE_32F_FAST_TF32
    ("float32", "bfloat16"): (GEMM_EX, 68),  # CUBLAS_COMPUTE_32F
    ("float64", "exact"): (DGEMM, None),
    ("float64", "tf32"): (DGEMM, None),  # a precision is for float32 only
}


@pytest.mark.parametrize("rounds_results", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("n_nets", [1, 3])
@pytest.mark.parametrize("dtype, precision", CALLS)
def test_products_equal_numpy_and_write_only_their_rows(
    cuda, emulated_cuda, dtype, precision, n_nets, wrapped, rounds_results, rng
):
    """By the library, or by CuPy's wrappers where it cannot be called. Every shape, with one row and one column, too.

    There are gaps between matrices; rows beyond the product and one net more stay as they are. Operands in bfloat16 are
    bits; results are rounded to it once, or float32, as their array is.
    """
    from fastmlp.kernels.cuda.runtime.gemm import Products

    emulated_cuda.settings.cublas = not wrapped
    products, called, is_bits = Products(np.dtype(dtype), precision, n_nets), [], precision == "bfloat16"
    for name in ("_product_of_one", "_product_of_many"):
        real = getattr(products, name)
        setattr(products, name, lambda *given, real=real: (called.append((real.__name__, given)), real(*given)))
    rounds_results &= is_bits
    tolerance = {"tf32": 1e-2, "bfloat16": 2.0**-8 if rounds_results else 1e-5}.get(
        precision, TOLERANCES["value", dtype]
    )
    room, gap, n = 9, 8, n_nets + 1

    def stack(matrices, dtype=dtype):
        """Return (array with a gap after each matrix, the matrices in it)."""
        _, rows, columns = matrices.shape
        there = cuda.full((n, rows * columns + gap), 9, dtype)
        there[:, :-gap] = cuda.asarray(matrices.reshape(n, -1).astype(dtype))
        size = there.itemsize
        return there, cuda.ndarray(matrices.shape, dtype, there.data, (there.nbytes // n, columns * size, size))

    as_operand = lambda array: stack(to_bfloat16(array), "uint16")[1] if is_bits else stack(array)[1]
    exactly = lambda array: from_bfloat16(to_bfloat16(array)).astype(float) if is_bits else array
    numbers = lambda array: from_bfloat16(array.get()) if rounds_results else array.get()
    for rows, fan_in, fan_out in itertools.product((1, 7), (1, 5), (1, 6)):
        X, W, D = (rng.normal(size=(n, *shape)) for shape in ((room, fan_in), (fan_in, fan_out), (room, fan_out)))
        x, w, d = map(as_operand, (X, W, D))
        result = "uint16" if rounds_results else dtype
        out, below, dW = (stack(np.full(array.shape, 9.0), result) for array in (D, X, W))
        products.times(x, w, out[1], rows)
        products.transposed_times(x, d, dW[1], rows)
        products.times_transposed(d, w, below[1], rows)
        X, W, D = map(exactly, (X, W, D))
        swap = lambda array: array.transpose(0, 2, 1)
        for (whole, found), A, B in (
            (out, X[:, :rows], W),
            (dW, swap(X[:, :rows]), D[:, :rows]),
            (below, D[:, :rows], swap(W)),
        ):
            value, scale = numbers(found), np.abs(A) @ np.abs(B)  # of the sums, which may cancel
            assert (np.abs(value[:n_nets, : A.shape[1]] - (A @ B)[:n_nets]) <= tolerance * scale[:n_nets]).all()
            assert (found.get()[n_nets] == 9).all(), "another net is left alone"
            assert (found.get()[:, A.shape[1] :] == 9).all()
            assert (whole.get()[:, -gap:] == 9).all()
    products.times(x[:1], w, out[1], rows)
    np.testing.assert_allclose(numbers(out[1])[:n_nets, :rows], X[0, :rows] @ W[:n_nets], rtol=0.1, atol=0.1)
    functions, computed = CALLS[dtype, precision]
    assert {name for name, _ in called} == {functions[n_nets > 1][not wrapped]}
    assert computed is None or called[0][1][-2:] == (computed, -1)  # CUBLAS_GEMM_DEFAULT


@pytest.mark.parametrize("wrapped", [True, False])
def test_sums_of_rounded_results_are_float32(emulated_cuda, cuda, wrapped):
    """The math mode 16 forbids partial sums in the type of the result. CuPy's handle has its own mode again later."""
    from cupy_backends.cuda.libs import cublas

    from fastmlp.kernels.cuda.runtime.gemm import Products

    emulated_cuda.settings.cublas = not wrapped
    ones, out = cuda.asarray(to_bfloat16(np.ones((1, 2, 2)))), cuda.zeros((1, 2, 2), cuda.uint16)
    cublas.setMathMode(0, 1)
    try:
        Products(np.dtype("float32"), "bfloat16").times(ones, ones, out, 2)  # other modes are refused
        assert (from_bfloat16(out.get()) == 2).all()
        assert cublas.getMathMode(0) == 1
    finally:
        cublas.setMathMode(0, 0)
