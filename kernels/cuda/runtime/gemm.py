"""Matrix products of row-major arrays by cuBLAS, which is column-major: a row-major array is its transpose there.

cuBLAS is called through its C interface, whose calls can be captured into a CUDA graph; CuPy's wrappers refuse during
capture. During capture cuBLAS needs memory that was allocated before: a workspace of our own. cublasSetStream resets
the workspace, so cublasSetWorkspace sets it again. A handle serves one owner at a time; released handles are reused.
Source: NVIDIA, cuBLAS library, sections "CUDA Graphs Support", "cublasSetWorkspace", "cublasMath_t", "cublasGemmEx",
and "cublasGemmStridedBatchedEx".
"""

from __future__ import annotations

import ctypes
import weakref
from contextlib import suppress
from ctypes import POINTER, c_int, c_longlong, c_size_t, c_void_p
from functools import cache
from typing import Any

import cupy
import numpy as np

from ..build.net_constants import BITS

STATUSES = {
    1: "NOT_INITIALIZED", 3: "ALLOC_FAILED", 7: "INVALID_VALUE", 8: "ARCH_MISMATCH", 11: "MAPPING_ERROR",
    13: "EXECUTION_FAILED", 14: "INTERNAL_ERROR", 15: "NOT_SUPPORTED", 16: "LICENSE_ERROR",
}  # fmt: skip
# handle, transpositions of A and B, m, n, k, alpha, of A, B and C address, type and leading dimension, with beta before
# C; type of the computation, algorithm. Batched products have a stride after each leading dimension, and their number.
_MATRIX = [c_void_p, c_int, c_int]
_HEAD, _BATCHED = [c_void_p, *[c_int] * 5, c_void_p], [*_MATRIX, c_longlong]
PROTOTYPES = {
    "cublasCreate_v2": [POINTER(c_void_p)], "cublasSetStream_v2": [c_void_p, c_void_p],
    "cublasSetWorkspace_v2": [c_void_p, c_void_p, c_size_t], "cublasSetMathMode": [c_void_p, c_int],
    "cublasGemmEx": [*_HEAD, *_MATRIX, *_MATRIX, c_void_p, *_MATRIX, c_int, c_int],
    "cublasGemmStridedBatchedEx": [*_HEAD, *_BATCHED, *_BATCHED, c_void_p, *_BATCHED, c_int, c_int, c_int],
}  # fmt: skip
# Values from cuBLAS's header.
KINDS = {np.dtype(np.float32): 0, np.dtype(np.float64): 1, BITS: 14}  # CUDA_R_32F, CUDA_R_64F, CUDA_R_16BF
COMPUTE_32F, COMPUTE_64F, COMPUTE_32F_FAST_TF32, GEMM_DEFAULT = 68, 70, 77, -1
# CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION: without it, partial sums of a product whose result is in bfloat16
# may be added in bfloat16.
FLOAT32_SUMS = 16
N, T = 0, 1
_idle: dict[int, list[int]] = {}  # released handles, by device


class CublasError(RuntimeError):
    """cuBLAS returned an error status."""


def _check(status: int, function: Any, arguments: tuple) -> int:
    if status:
        meaning = STATUSES.get(status, f"status {status}")
        raise CublasError(f"{function.__name__} answers CUBLAS_STATUS_{meaning}; its arguments were {arguments}.")
    return status


@cache
def library() -> Any:
    """Return the cuBLAS library that CuPy uses; devices.py has looked for it."""
    from cuda.pathfinder import load_nvidia_dynamic_lib  # CuPy finds its libraries with it

    cublas = ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)
    for name, types in PROTOTYPES.items():
        function = getattr(cublas, name)
        function.argtypes, function.restype, function.errcheck = types, c_int, _check
    return cublas


def workspace_bytes() -> int:
    """Return the workspace size that NVIDIA recommends: 32 MiB from compute capability 9.0 on, 4 MiB before."""
    return (32 if int(cupy.cuda.Device().compute_capability) >= 90 else 4) * 2**20


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
        self._compute = COMPUTE_32F if dtype == np.float32 else COMPUTE_64F
        if dtype == np.float32 and precision == "tf32":
            self._compute = COMPUTE_32F_FAST_TF32
        self._workspace: Any = None
        self._bound: tuple | None = None
        idle = _idle.setdefault(cupy.cuda.Device().id, [])
        try:
            self._handle = idle.pop()
        except IndexError:
            made = c_void_p()
            library().cublasCreate_v2(ctypes.byref(made))
            library().cublasSetMathMode(made, FLOAT32_SUMS)
            self._handle = made.value
        weakref.finalize(self, idle.append, self._handle).atexit = False

    def take_workspace(self) -> bool:
        """Allocate the workspace for graph capture, if there is memory; return whether capture is possible."""
        if self._workspace is None:
            with suppress(cupy.cuda.memory.OutOfMemoryError):
                self._workspace = cupy.empty(workspace_bytes(), np.uint8)
        return self._workspace is not None

    def _bound_handle(self) -> int:
        """Return the handle, whose products run on the current stream with the workspace, if there is one."""
        stream, workspace = cupy.cuda.get_current_stream().ptr, self._workspace
        if self._bound != (stream, workspace is None):
            library().cublasSetStream_v2(self._handle, stream)
            if workspace is not None:
                library().cublasSetWorkspace_v2(self._handle, workspace.data.ptr, workspace.nbytes)
            self._bound = stream, workspace is None
        return self._handle

    def _multiply(self, ta: int, tb: int, m: int, n: int, k: int, A: Any, B: Any, C: Any) -> None:
        """Compute C (m, n) = op(A) op(B), column-major, for each net."""
        batched = self.n_nets > 1

        def matrix(stack: Any) -> list[int]:
            """Address, type of the numbers, leading dimension, stride of more than one product."""
            arguments = [stack.data.ptr, KINDS[stack.dtype], stack.shape[-1]]
            if batched:
                arguments.append(0 if len(stack) == 1 else stack.strides[0] // stack.itemsize)
            return arguments

        (library().cublasGemmStridedBatchedEx if batched else library().cublasGemmEx)(
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
            self._compute,
            GEMM_DEFAULT,
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
