"""Matrix products of row-major arrays by cuBLAS, which is column-major."""

import itertools

import numpy as np
import pytest
from reference_bfloat16 import from_bfloat16, to_bfloat16
from tolerances import TOLERANCES

COMPUTED = {  # dtype, precision -> CUBLAS_COMPUTE_*
    ("float32", "exact"): 68,  # 32F
    ("float32", "tf32"): 77,  # 32F_FAST_TF32
    ("float32", "bfloat16"): 68,
    ("float64", "exact"): 70,  # 64F
    ("float64", "tf32"): 70,  # a precision is for float32 only
}


@pytest.mark.parametrize("rounds_results", [False, True])
@pytest.mark.parametrize("n_nets", [1, 3])
@pytest.mark.parametrize("dtype, precision", COMPUTED)
def test_products_equal_numpy_and_write_only_their_rows(cuda, dtype, precision, n_nets, rounds_results, rng):
    """Every shape, with one row and one column, too.

    There are gaps between matrices; rows beyond the product and one net more stay as they are. Operands in bfloat16 are
    bits; results are rounded to it once, or float32, as their array is.
    """
    from fastmlp.kernels.cuda.runtime.gemm import Products

    products, is_bits = Products(np.dtype(dtype), precision, n_nets), precision == "bfloat16"
    assert products._compute == COMPUTED[dtype, precision]
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


def test_sums_of_rounded_results_are_float32(cuda):
    """The math mode 16 forbids partial sums in the type of the result: the emulator refuses other modes."""
    from fastmlp.kernels.cuda.runtime.gemm import Products

    ones, out = cuda.asarray(to_bfloat16(np.ones((1, 2, 2)))), cuda.zeros((1, 2, 2), cuda.uint16)
    Products(np.dtype("float32"), "bfloat16").times(ones, ones, out, 2)
    assert (from_bfloat16(out.get()) == 2).all()


def test_released_handles_are_reused_on_their_device(emulated_cuda, cuda):
    from fastmlp.kernels.cuda.runtime.gemm import CublasError, Products, library

    emulated_cuda.settings.n_devices = 2
    make = lambda: Products(np.dtype("float32"), "exact")
    first, second = make(), make()
    handles = {products._bound_handle() for products in (first, second)}
    assert len(handles) == 2
    del first
    with cuda.cuda.Device(1):
        assert make()._bound_handle() not in handles
    assert make()._bound_handle() in handles
    library()
    emulated_cuda.settings.cublas = False
    with pytest.raises(CublasError, match=r"cublasCreate_v2 answers CUBLAS_STATUS_NOT_INITIALIZED; its arg"):
        [make() for _ in range(3)]


def test_a_handle_is_moved_to_the_current_stream(emulated_cuda, cuda):
    """Setting a stream resets the workspace, which must be set again; its size is the one that NVIDIA recommends."""
    from cuda_emulator import cublas

    from fastmlp.kernels.cuda.runtime.gemm import Products, workspace_bytes

    products, stream = Products(np.dtype("float32"), "exact"), cuda.cuda.Stream(non_blocking=True)
    assert products.take_workspace()
    workspace = products._workspace
    for current in (cuda.cuda.Stream.null, stream, stream, cuda.cuda.Stream.null):
        with current:
            seen = cublas.handles[products._bound_handle()]
        assert (seen.stream, seen.workspace) == (current.ptr, (workspace.data.ptr, workspace.nbytes))
    for capability, megabytes in (("80", 4), ("89", 4), ("90", 32), ("120", 32)):
        emulated_cuda.settings.compute_capability = capability
        assert workspace_bytes() == megabytes * 2**20
