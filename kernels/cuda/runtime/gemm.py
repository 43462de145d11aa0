"""Matrix products of row-major arrays by cuBLAS, which is column-major: a row-major array is its transpose there."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import cupy
import numpy as np
from cupy_backends.cuda.libs import cublas

from ..build.operands import BITS, is_rounded
from .cublas import library, new_handle, with_float32_sums, workspace_bytes

# Values from cuBLAS's header.
KINDS = {np.dtype(np.float32): 0, np.dtype(np.float64): 1, BITS: 14}  # CUDA_R_32F, CUDA_R_64F, CUDA_R_16BF
COMPUTE_32F, COMPUTE_32F_FAST_TF32, GEMM_DEFAULT = 68, 77, -1
N, T = 0, 1


class Products:
    """Matrix products of one dtype, on the current stream.

    In float32, "tf32" rounds operands to TF32, and "bfloat16" takes operands in bfloat16, as their bits; sums are
    float32, and results are in the dtype of their array.
    """

    def __init__(self, dtype: np.dtype, precision: str):
        self._one, self._zero = np.ones(1, dtype), np.zeros(1, dtype)
        single = dtype == np.float32
        self._compute: int | None = None  # type of a product of operands that are, or may be, rounded
        if is_rounded(dtype, precision):
            self._compute = COMPUTE_32F
        elif single and precision == "tf32":
            self._compute = COMPUTE_32F_FAST_TF32
        self._handle, self._workspace = new_handle(), None
        if self._handle is None:
            self._gemm = cublas.sgemm if single else cublas.dgemm
            self._gemm_ex = with_float32_sums(cublas.gemmEx)
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
        if self._compute is None:
            self._gemm(handle, ta, tb, m, n, k, one, a, lda, b, ldb, zero, c, m)
            return
        self._gemm_ex(
            handle,
            ta,
            tb,
            m,
            n,
            k,
            one,
            a,
            KINDS[A.dtype],
            lda,
            b,
            KINDS[B.dtype],
            ldb,
            zero,
            c,
            KINDS[C.dtype],
            m,
            self._compute,
            GEMM_DEFAULT,
        )

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
