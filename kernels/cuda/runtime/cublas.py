"""cuBLAS through its C interface, whose calls can be captured into a CUDA graph; CuPy's wrappers refuse during capture.

During capture cuBLAS needs memory that was allocated before: a workspace of our own. cublasSetStream resets the
workspace, so cublasSetWorkspace sets it again. A handle serves one owner at a time; released handles are reused.
Source: NVIDIA, cuBLAS library, sections "CUDA Graphs Support", "cublasSetWorkspace", "cublasMath_t", "cublasGemmEx",
"cublas<t>gemmStridedBatched" and "cublasGemmStridedBatchedEx".
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from ctypes import POINTER, c_int, c_longlong, c_size_t, c_void_p
from functools import cache, wraps
from typing import Any

import cupy
from cupy_backends.cuda.libs import cublas

STATUSES = {
    1: "NOT_INITIALIZED", 3: "ALLOC_FAILED", 7: "INVALID_VALUE", 8: "ARCH_MISMATCH", 11: "MAPPING_ERROR",
    13: "EXECUTION_FAILED", 14: "INTERNAL_ERROR", 15: "NOT_SUPPORTED", 16: "LICENSE_ERROR",
}  # fmt: skip
# handle, transpositions of A and B, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc; matrices and factors as addresses
_GEMM = [c_void_p, *[c_int] * 5, c_void_p, c_void_p, c_int, c_void_p, c_int, c_void_p, c_void_p, c_int]
_GEMM_EX = [
    c_void_p, *[c_int] * 5, c_void_p, c_void_p, c_int, c_int, c_void_p, c_int, c_int, c_void_p, c_void_p, c_int, c_int,
    c_int, c_int,
]  # fmt: skip
# Batched products: a stride after each leading dimension, and the number of products at the end.
_BATCHED = [
    c_void_p, *[c_int] * 5, c_void_p, c_void_p, c_int, c_longlong, c_void_p, c_int, c_longlong, c_void_p, c_void_p,
    c_int, c_longlong, c_int,
]  # fmt: skip
_BATCHED_EX = [
    c_void_p, *[c_int] * 5, c_void_p, c_void_p, c_int, c_int, c_longlong, c_void_p, c_int, c_int, c_longlong, c_void_p,
    c_void_p, c_int, c_int, c_longlong, c_int, c_int, c_int,
]  # fmt: skip
PROTOTYPES = {
    "cublasCreate_v2": [POINTER(c_void_p)], "cublasSetStream_v2": [c_void_p, c_void_p],
    "cublasSetWorkspace_v2": [c_void_p, c_void_p, c_size_t], "cublasSetMathMode": [c_void_p, c_int],
    "cublasSgemm_v2": _GEMM, "cublasDgemm_v2": _GEMM, "cublasGemmEx": _GEMM_EX,
    "cublasSgemmStridedBatched": _BATCHED, "cublasDgemmStridedBatched": _BATCHED,
    "cublasGemmStridedBatchedEx": _BATCHED_EX,
}  # fmt: skip
# CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION: without it, partial sums of a product whose result is in bfloat16
# may be added in bfloat16.
FLOAT32_SUMS = 16
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
    """Return the cuBLAS library that CuPy uses, or None if it cannot be called directly."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib  # CuPy finds its libraries with it

        found = ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)
        for name, types in PROTOTYPES.items():
            function = getattr(found, name)
            function.argtypes, function.restype, function.errcheck = types, c_int, _check
    except Exception:  # missing, another version, or not loadable: CuPy's wrappers work too, uncaptured
        return None
    return found


def workspace_bytes() -> int:
    """Return the workspace size that NVIDIA recommends: 32 MiB from compute capability 9.0 on, 4 MiB before."""
    return (32 if int(cupy.cuda.Device().compute_capability) >= 90 else 4) * 2**20


class Handle:
    """A cuBLAS handle on the current device, for the lifetime of this object."""

    def __init__(self):
        device = cupy.cuda.Device().id
        idle = _idle.setdefault(device, [])
        self._bound: tuple | None = None
        try:
            self._address = idle.pop()
        except IndexError:
            made = c_void_p()
            library().cublasCreate_v2(ctypes.byref(made))
            library().cublasSetMathMode(made, FLOAT32_SUMS)
            self._address = made.value
        weakref.finalize(self, idle.append, self._address).atexit = False

    def on(self, stream: int, workspace: Any) -> int:
        """Set the handle's stream and workspace, and return its address.

        workspace : device array, or None for cuBLAS's own workspace
        """
        if self._bound != (stream, workspace is None):
            library().cublasSetStream_v2(self._address, stream)
            if workspace is not None:
                library().cublasSetWorkspace_v2(self._address, workspace.data.ptr, workspace.nbytes)
            self._bound = stream, workspace is None
        return self._address


def new_handle() -> Handle | None:
    """Return a handle, or None where CuPy's wrappers must be used."""
    try:
        return Handle() if library() is not None else None
    except CublasError:
        return None


def with_float32_sums(product: Callable[..., None]) -> Callable[..., None]:
    """Return one of CuPy's products with FLOAT32_SUMS for the call: other programs use CuPy's handle, too."""

    @wraps(product)
    def with_mode(handle: int, *arguments: Any) -> None:
        before = cublas.getMathMode(handle)
        cublas.setMathMode(handle, before | FLOAT32_SUMS)
        try:
            product(handle, *arguments)
        finally:
            cublas.setMathMode(handle, before)

    return with_mode
