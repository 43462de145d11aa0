"""Matrix products of row-major arrays by cuBLAS, which thinks in columns: such an array is its own transpose there."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np
from cupy_backends.cuda.libs import cublas

CUDA_R_32F, COMPUTE_32F_FAST_TF32, GEMM_DEFAULT = 0, 77, -1  # of cuBLAS's own header
N, T = 0, 1


class Products:
    """Products of arrays of one dtype, on the current stream. "tf32" rounds operands to 10 bits of fraction."""

    def __init__(self, dtype: np.dtype, precision: str):
        self._one, self._zero = np.ones(1, dtype), np.zeros(1, dtype)
        self._gemm = cublas.sgemm if dtype == np.float32 else cublas.dgemm
        self._tf32 = precision == "tf32" and dtype == np.float32

    def _multiply(self, ta: int, tb: int, m: int, n: int, k: int, A: Any, lda: int, B: Any, ldb: int, C: Any) -> None:
        """C (m, n) = op(A) op(B), by columns."""
        handle, one, zero = cupy.cuda.device.get_cublas_handle(), self._one.ctypes.data, self._zero.ctypes.data
        a, b, c = A.data.ptr, B.data.ptr, C.data.ptr
        if self._tf32:
            kind = CUDA_R_32F
            cublas.gemmEx(
                handle, ta, tb, m, n, k, one, a, kind, lda, b, kind, ldb, zero, c, kind, m, COMPUTE_32F_FAST_TF32,
                GEMM_DEFAULT,
            )  # fmt: skip
        else:
            self._gemm(handle, ta, tb, m, n, k, one, a, lda, b, ldb, zero, c, m)

    def times(self, X: Any, W: Any, out: Any, rows: int) -> None:
        """out (rows, fan_out) = X (rows, fan_in) @ W (fan_in, fan_out)"""
        fan_in, fan_out = W.shape
        self._multiply(N, N, fan_out, rows, fan_in, W, fan_out, X, fan_in, out)

    def transposed_times(self, X: Any, D: Any, out: Any, rows: int) -> None:
        """out (fan_in, fan_out) = X.T @ D, for X (rows, fan_in) and D (rows, fan_out)"""
        fan_in, fan_out = out.shape
        self._multiply(N, T, fan_out, fan_in, rows, D, fan_out, X, fan_in, out)

    def times_transposed(self, D: Any, W: Any, out: Any, rows: int) -> None:
        """out (rows, fan_in) = D (rows, fan_out) @ W.T"""
        fan_in, fan_out = W.shape
        self._multiply(T, N, fan_in, rows, fan_out, W, fan_out, D, fan_out, out)
