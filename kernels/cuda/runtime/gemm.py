"""Matrix products of row-major arrays by cuBLAS, which is column-major: a row-major array is its transpose there."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import cupy
import numpy as np
from cupy_backends.cuda.libs import cublas

from ...structs import rounds_to_bfloat16
from ..build.operands import BITS
from .cublas import library, new_handle, with_float32_sums, workspace_bytes

# Values from cuBLAS's header.
KINDS = {np.dtype(np.float32): 0, np.dtype(np.float64): 1, BITS: 14}  # CUDA_R_32F, CUDA_R_64F, CUDA_R_16BF
COMPUTE_32F, COMPUTE_32F_FAST_TF32, GEMM_DEFAULT = 68, 77, -1
N, T = 0, 1
# CuPy's wrapper -> the function of the library.
FUNCTIONS = {
    "sgemm": "cublasSgemm_v2",
    "dgemm": "cublasDgemm_v2",
    "gemmEx": "cublasGemmEx",
    "sgemmStridedBatched": "cublasSgemmStridedBatched",
    "dgemmStridedBatched": "cublasDgemmStridedBatched",
    "gemmStridedBatchedEx": "cublasGemmStridedBatchedEx",
}


class Products:
    """Matrix products of one dtype for each of `n_nets` nets, on the current stream.

    Operands and results are stacks of matrices (n_nets, rows, columns); all nets share the matrix of an operand
    (1, rows, columns). Those of a single net may have two dimensions.

    In float32, "tf32" rounds operands to TF32, and "bfloat16" takes operands in bfloat16, as their bits; sums are
    float32, and results are in the dtype of their array.
    """

    def __init__(self, dtype: np.dtype, precision: str, n_nets: int = 1):
        self.n_nets = n_nets
        self._one, self._zero = np.ones(1, dtype), np.zeros(1, dtype)
        single = dtype == np.float32
        self._compute: int | None = None  # type of a product of operands that are, or may be, rounded
        if rounds_to_bfloat16(precision, np.dtype(dtype).itemsize):
            self._compute = COMPUTE_32F
        elif single and precision == "tf32":
            self._compute = COMPUTE_32F_FAST_TF32
        self._handle, self._workspace = new_handle(), None
        if self._compute is not None:
            one, many = "gemmEx", "gemmStridedBatchedEx"
        else:
            one, many = ("sgemm", "sgemmStridedBatched") if single else ("dgemm", "dgemmStridedBatched")
        self._product_of_one, self._product_of_many = self._function(one), self._function(many)

    def _function(self, wrapper: str) -> Any:
        if self._handle is not None:
            return getattr(library(), FUNCTIONS[wrapper])
        found = getattr(cublas, wrapper)
        return found if self._compute is None else with_float32_sums(found)

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

    def _multiply(self, ta: int, tb: int, m: int, n: int, k: int, A: Any, B: Any, C: Any) -> None:
        """Compute C (m, n) = op(A) op(B), column-major, for each net."""
        batched, rounds = self.n_nets > 1, self._compute is not None

        def matrix(stack: Any) -> list[int]:
            """Address, type of numbers that may be rounded, leading dimension, stride of more than one product."""
            arguments = [stack.data.ptr, *[KINDS[stack.dtype]] * rounds, stack.shape[-1]]
            if batched:
                arguments.append(0 if len(stack) == 1 else stack.strides[0] // stack.itemsize)
            return arguments

        (self._product_of_many if batched else self._product_of_one)(
            self._bound_handle(),
            ta,
            tb,
            m,
            n,
            k,
            self._one.ctypes.data,
            *matrix(A),
            *matrix(B),
            self._zero.ctypes.data,
            *matrix(C),
            *[self.n_nets] * batched,
            *[self._compute, GEMM_DEFAULT] * rounds,
        )

    def times(self, X: Any, W: Any, out: Any, rows: int) -> None:
        """Write out (rows, fan_out) = X (rows, fan_in) @ W (fan_in, fan_out)."""
        fan_in, fan_out = W.shape[-2:]
        self._multiply(N, N, fan_out, rows, fan_in, W, X, out)

    def transposed_times(self, X: Any, D: Any, out: Any, rows: int) -> None:
        """Write out (fan_in, fan_out) = X.T @ D, for X (rows, fan_in) and D (rows, fan_out)."""
        fan_in, fan_out = out.shape[-2:]
        self._multiply(N, T, fan_out, fan_in, rows, D, X, out)

    def times_transposed(self, D: Any, W: Any, out: Any, rows: int) -> None:
        """Write out (rows, fan_in) = D (rows, fan_out) @ W.T."""
        fan_in, fan_out = W.shape[-2:]
        self._multiply(T, N, fan_in, rows, fan_out, W, D, out)
