"""Emulated cupy_backends.cuda.libs.cublas: products of column-major matrices at raw addresses."""

from __future__ import annotations

import numpy as np

from .memory import check_range, view
from .state import EmulatorError, counts
from .streams import get_current_stream

FLOAT32_SUMS = 16  # CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION, for which CuPy has no name
CUBLAS_COMPUTE_64F = 70
BFLOAT16 = "bfloat16"
TYPES = {0: np.float32, 1: np.float64, 14: BFLOAT16}  # of cupy.cuda.runtime.CUDA_R_*
# Types of A and B, C, and the computation (CUBLAS_COMPUTE_*), of products that cuBLAS has.
SUPPORTED = {
    (np.float32, np.float32): (68, 77),
    (np.float64, np.float64): (70,),
    (BFLOAT16, BFLOAT16): (68,),
    (BFLOAT16, np.float32): (68,),
}
HANDLE = 0xB1A5
_modes = {"math": 0}


class CUBLASError(RuntimeError):
    """Emulated CUBLASError of CuPy."""


def setMathMode(handle, mode) -> None:
    _modes["math"] = int(mode)


def getMathMode(handle) -> int:
    return _modes["math"]


def _matrix(name, pointer, kind, rows, columns, leading, stride, count):
    """Return a view (count, rows, columns) of a batch of column-major matrices."""
    if leading < max(1, rows):
        raise CUBLASError(f"CUBLAS_STATUS_INVALID_VALUE: {name} has {rows} rows, its leading dimension is {leading}")
    storage = np.dtype(np.uint16 if kind == BFLOAT16 else kind)
    if pointer % storage.itemsize:
        raise EmulatorError(f"matrix {name} at {pointer:#x}, which is misaligned")
    extent = (count - 1) * stride + (columns - 1) * leading + rows
    check_range(pointer, extent * storage.itemsize, f"matrix {name}")
    return view(pointer, storage, (count, rows, columns), (stride, 1, leading))


def _numbers(matrix, kind, computed):
    if kind == BFLOAT16:
        return (matrix.astype(np.uint32) << 16).view(np.float32).astype(computed)
    return matrix.astype(computed)


def _stored(numbers, kind):
    if kind != BFLOAT16:
        return numbers.astype(kind)
    numbers = numbers.astype(np.float32)
    bits = numbers.view(np.uint32)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(numbers), np.uint16(0x7FFF), rounded)


def _gemm(ta, tb, m, n, k, alpha, A, a_kind, lda, sa, B, b_kind, ldb, sb, beta, C, c_kind, ldc, sc, count, computed):
    """Multiply on the current stream. Like CuPy's wrappers, raise an error if the stream is captured."""
    stream = get_current_stream()
    if stream.is_capturing():
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
    alpha, beta = (view(pointer, computed, (1,))[0] for pointer in (alpha, beta))
    _multiply(
        stream, ta, tb, m, n, k, alpha, A, a_kind, lda, sa, B, b_kind, ldb, sb, beta, C, c_kind, ldc, sc, count,
        computed,
    )  # fmt: skip


def _multiply(
    stream, ta, tb, m, n, k, alpha, A, a_kind, lda, sa, B, b_kind, ldb, sb, beta, C, c_kind, ldc, sc, count, computed,
    workspace=None,
):  # fmt: skip
    """Compute C = alpha op(A) op(B) + beta C. C is not read if beta is 0.

    A captured product checks its matrices and its workspace again when the graph runs, since their memory may have been
    freed by then.
    """
    if min(m, n, k, count) < 0:
        raise CUBLASError("CUBLAS_STATUS_INVALID_VALUE: a negative size")
    if 0 in (m, n, count):
        return
    counts["products"] += 1

    def matrices():
        return (
            _matrix("A", A, a_kind, *((m, k) if ta == 0 else (k, m)), lda, sa, count),
            _matrix("B", B, b_kind, *((k, n) if tb == 0 else (n, k)), ldb, sb, count),
            _matrix("C", C, c_kind, m, n, ldc, sc, count),
        )

    found = matrices()
    if count > 1 and sc < (n - 1) * ldc + m:
        raise EmulatorError("matrices C of a batch overlap")
    captured = stream.is_capturing()

    def product():
        a, b, c = matrices() if captured else found
        if workspace is not None:
            check_range(*workspace, "the workspace of a product")
        left, right = _numbers(a, a_kind, computed), _numbers(b, b_kind, computed)
        left = left if ta == 0 else left.transpose(0, 2, 1)
        right = right if tb == 0 else right.transpose(0, 2, 1)
        with np.errstate(all="ignore"):
            result = computed(alpha) * (left @ right)
            if beta != 0:
                result = result + computed(beta) * _numbers(c, c_kind, computed)
            c[...] = _stored(result, c_kind)

    stream._ask(product)


def sgemm(handle, transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc):
    f = np.float32
    _gemm(transa, transb, m, n, k, alpha, A, f, lda, 0, B, f, ldb, 0, beta, C, f, ldc, 0, 1, f)


def dgemm(handle, transa, transb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc):
    f = np.float64
    _gemm(transa, transb, m, n, k, alpha, A, f, lda, 0, B, f, ldb, 0, beta, C, f, ldc, 0, 1, f)


def sgemmStridedBatched(
    handle, transa, transb, m, n, k, alpha, A, lda, strideA, B, ldb, strideB, beta, C, ldc, strideC, batchCount
):
    f, count = np.float32, batchCount
    _gemm(transa, transb, m, n, k, alpha, A, f, lda, strideA, B, f, ldb, strideB, beta, C, f, ldc, strideC, count, f)


def dgemmStridedBatched(
    handle, transa, transb, m, n, k, alpha, A, lda, strideA, B, ldb, strideB, beta, C, ldc, strideC, batchCount
):
    f, count = np.float64, batchCount
    _gemm(transa, transb, m, n, k, alpha, A, f, lda, strideA, B, f, ldb, strideB, beta, C, f, ldc, strideC, count, f)


def _computed(compute_type):
    return np.float64 if compute_type == CUBLAS_COMPUTE_64F else np.float32


def _check_types(a_kind, b_kind, c_kind, compute_type, math_mode):
    """Raise the error of cuBLAS for operands that it cannot multiply, and one for sums that may be rounded."""
    if a_kind != b_kind or compute_type not in SUPPORTED.get((a_kind, c_kind), ()):
        raise CUBLASError(f"CUBLAS_STATUS_NOT_SUPPORTED: {a_kind}, {b_kind}, {c_kind}, computed in {compute_type}")
    if c_kind == BFLOAT16 and not math_mode & FLOAT32_SUMS:
        raise EmulatorError("partial sums of a product in bfloat16 may be added in bfloat16 in this math mode")


def gemmEx(
    handle, transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc, computeType, algo
):
    a, b, c = TYPES[Atype], TYPES[Btype], TYPES[Ctype]
    _check_types(a, b, c, computeType, _modes["math"])
    _gemm(
        transa, transb, m, n, k, alpha, A, a, lda, 0, B, b, ldb, 0, beta, C, c, ldc, 0, 1, _computed(computeType)
    )  # fmt: skip


def gemmStridedBatchedEx(
    handle, transa, transb, m, n, k, alpha, A, Atype, lda, strideA, B, Btype, ldb, strideB, beta, C, Ctype, ldc,
    strideC, batchCount, computeType, algo,
):  # fmt: skip
    a, b, c = TYPES[Atype], TYPES[Btype], TYPES[Ctype]
    _check_types(a, b, c, computeType, _modes["math"])
    _gemm(
        transa, transb, m, n, k, alpha, A, a, lda, strideA, B, b, ldb, strideB, beta, C, c, ldc, strideC, batchCount,
        _computed(computeType),
    )  # fmt: skip
