"""Matrix products of row-major arrays by cuBLAS, which is column-major: a row-major array is its transpose there."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import cupy
import numpy as np
from cupy_backends.cuda.libs import cublas

from .cublas import library, new_handle, workspace_bytes

CUDA_R_32F, COMPUTE_32F_FAST_TF32, GEMM_DEFAULT = 0, 77, -1  # values from cuBLAS's header
N, T = 0, 1


class Products:
    """Matrix products of one dtype, on the current stream.

    In float32, every precision but "exact" rounds operands to TF32, with 10 bits of fraction: as many as float16 has,
    and more than bfloat16.
    """

    def __init__(self, dtype: np.dtype, precision: str):
        self._one, self._zero = np.ones(1, dtype), np.zeros(1, dtype)
        single = dtype == np.float32
        self._tf32, self._handle, self._workspace = single and precision != "exact", new_handle(), None
        if self._handle is None:
            self._gemm, self._gemm_ex = cublas.sgemm if single else cublas.dgemm, cublas.gemmEx
        else:
            found = library()
            self._gemm, self._gemm_ex = found.cublasSgemm_v2 if single else found.cublasDgemm_v2, found.cublasGemmEx

    def take_workspace(self) -> bool:
        """Allocate the workspace for graph capture, if there is memory; return whether capture is possible."""
        if self._handle is not None and self._workspace is None:
            with suppress(cupy.cuda.memory.OutOfMemoryError):
                self._workspace = cupy.empty(workspace_bytes(), np.uint8)
        return self._workspace is not None

    def _bound_handle(self) -> int:
        """Return a handle whose products run on the current stream."""
        if self._handle is None:
            return cupy.cuda.device.get_cublas_handle()
        return self._handle.on(cupy.cuda.get_current_stream().ptr, self._workspace)

    def _multiply(self, ta: int, tb: int, m: int, n: int, k: int, A: Any, lda: int, B: Any, ldb: int, C: Any) -> None:
        """Compute C (m, n) = op(A) op(B), column-major."""
        handle, one, zero = self._bound_handle(), self._one.ctypes.data, self._zero.ctypes.data
        a, b, c = A.data.ptr, B.data.ptr, C.data.ptr
        if self._tf32:
            kind = CUDA_R_32F
            self._gemm_ex(
                handle,
                ta,
                tb,
                m,
                n,
                k,
                one,
                a,
                kind,
                lda,
                b,
                kind,
                ldb,
                zero,
                c,
                kind,
                m,
                COMPUTE_32F_FAST_TF32,
                GEMM_DEFAULT,
            )
        else:
            self._gemm(handle, ta, tb, m, n, k, one, a, lda, b, ldb, zero, c, m)

    def times(self, X: Any, W: Any, out: Any, rows: int) -> None:
        """Write out (rows, fan_out) = X (rows, fan_in) @ W (fan_in, fan_out)."""
        fan_in, fan_out = W.shape
        self._multiply(N, N, fan_out, rows, fan_in, W, fan_out, X, fan_in, out)

    def transposed_times(self, X: Any, D: Any, out: Any, rows: int) -> None:
        """Write out (fan_in, fan_out) = X.T @ D, for X (rows, fan_in) and D (rows, fan_out)."""
        fan_in, fan_out = out.shape
        self._multiply(N, T, fan_out, fan_in, rows, D, fan_out, X, fan_in, out)

    def times_transposed(self, D: Any, W: Any, out: Any, rows: int) -> None:
        """Write out (rows, fan_in) = D (rows, fan_out) @ W.T."""
        fan_in, fan_out = W.shape
        self._multiply(T, N, fan_in, rows, fan_out, W, fan_out, D, fan_out, out)
