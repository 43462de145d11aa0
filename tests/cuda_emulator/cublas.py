"""Emulated libcublas.so: C functions (cublas.cpp) that call Python, for products of column-major matrices.

The module cuda.pathfinder, by which CuPy and the backend find the library, is emulated too.
"""

from __future__ import annotations

import ctypes
import sys
import traceback
import types
from ctypes import CFUNCTYPE, POINTER, c_double, c_int, c_longlong, c_size_t, c_void_p
from functools import cache
from types import SimpleNamespace

import numpy as np

from . import build, memory, streams
from .state import EmulatorError, counts, device, settings

NOT_INITIALIZED, INVALID_VALUE, NOT_SUPPORTED, INTERNAL_ERROR = 1, 7, 15, 14
FLOAT32_SUMS, COMPUTE_64F, BFLOAT16 = 16, 70, "bfloat16"
TYPES = {0: np.float32, 1: np.float64, 14: BFLOAT16}  # of cupy.cuda.runtime.CUDA_R_*
# Types of A and B, C, and the computation (CUBLAS_COMPUTE_*), of products that cuBLAS has.
SUPPORTED = {
    (np.float32, np.float32): (68, 77),
    (np.float64, np.float64): (70,),
    (BFLOAT16, BFLOAT16): (68,),
    (BFLOAT16, np.float32): (68,),
}
GEMM = CFUNCTYPE(
    c_int, c_void_p, *[c_int] * 5, c_double, c_void_p, c_int, c_int, c_longlong, c_void_p, c_int, c_int, c_longlong,
    c_double, c_void_p, c_int, c_int, c_longlong, c_int, c_int,
)  # fmt: skip
handles: dict[int, SimpleNamespace] = {}
_faults: list[Exception] = []


class Status(Exception):
    """A call that is answered by a status; arguments: the status."""


def _answering(function):
    """Wrap a function so that it returns a status to C. Its exceptions are stored, and raised by check_faults."""

    def answer(*arguments):
        try:
            return function(*arguments) or 0
        except Status as error:
            return error.args[0]
        except Exception as error:
            _faults.append(error)
            return INTERNAL_ERROR

    return answer


def check_faults() -> None:
    if _faults:
        faults = "; ".join("".join(traceback.format_exception_only(error)).strip() for error in _faults)
        _faults.clear()
        raise EmulatorError(faults)


def _create(place):
    if not settings.cublas:
        return NOT_INITIALIZED
    handle = 0xC0B1A5000 + 16 * len(handles)
    handles[handle] = SimpleNamespace(device=device(), stream=0, workspace=None, math_mode=0)
    counts["cublas_handles"] += 1
    place[0] = handle
    return 0


def _set_stream(handle, stream):
    handles[handle].stream, handles[handle].workspace = stream or 0, None


def _set_workspace(handle, workspace, size):
    memory.check_range(workspace, size, "a workspace of cuBLAS")
    recommended = (32 if int(settings.compute_capability) >= 90 else 4) * 2**20  # bytes
    if workspace % 256 or size < recommended:
        raise EmulatorError(f"a workspace of cuBLAS at {workspace:#x}, of {size} bytes")
    handles[handle].workspace = workspace, size


def _set_math_mode(handle, mode):
    handles[handle].math_mode = mode


def _matrix(name, pointer, kind, rows, columns, leading, stride, count):
    """Return a view (count, rows, columns) of a batch of column-major matrices."""
    if leading < max(1, rows):
        raise Status(INVALID_VALUE)
    storage = np.dtype(np.uint16 if kind == BFLOAT16 else kind)
    if pointer % storage.itemsize:
        raise EmulatorError(f"matrix {name} at {pointer:#x}, which is misaligned")
    extent = (count - 1) * stride + (columns - 1) * leading + rows
    memory.check_range(pointer, extent * storage.itemsize, f"matrix {name}")
    return memory.view(pointer, storage, (count, rows, columns), (stride, 1, leading))


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


def _stream_of(handle):
    owner = handles[handle]
    if owner.device != device():
        raise EmulatorError(f"a handle of device {owner.device} on device {device()}")
    stream = streams.stream_at(owner.stream)
    if stream.is_capturing():
        if owner.workspace is None:
            raise EmulatorError("cuBLAS allocates memory while the stream is captured: it has no workspace")
    elif streams.is_anyone_capturing() and stream.ptr == 0:
        raise EmulatorError("a product on the null stream while another stream is captured")
    return stream


def _gemm(
    handle, ta, tb, m, n, k, alpha, A, a_kind, lda, sa, B, b_kind, ldb, sb, beta, C, c_kind, ldc, sc, count, computed
):
    """Compute C = alpha op(A) op(B) + beta C. C is not read if beta is 0.

    A captured product checks its matrices and its workspace again when the graph runs, since their memory may have been
    freed by then.
    """
    a_kind, b_kind, c_kind = (TYPES.get(kind) for kind in (a_kind, b_kind, c_kind))
    if handle not in handles or a_kind != b_kind or computed not in SUPPORTED.get((a_kind, c_kind), ()):
        raise Status(NOT_SUPPORTED)
    stream, workspace = _stream_of(handle), handles[handle].workspace
    if c_kind == BFLOAT16 and not handles[handle].math_mode & FLOAT32_SUMS:
        raise EmulatorError("partial sums of a product in bfloat16 may be added in bfloat16 in this math mode")
    if min(m, n, k, count) < 0:
        raise Status(INVALID_VALUE)
    if 0 in (m, n, count):
        return
    counts["products"] += 1
    kind_of_sums = np.float64 if computed == COMPUTE_64F else np.float32

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
            memory.check_range(*workspace, "the workspace of a product")
        left, right = _numbers(a, a_kind, kind_of_sums), _numbers(b, b_kind, kind_of_sums)
        left = left if ta == 0 else left.transpose(0, 2, 1)
        right = right if tb == 0 else right.transpose(0, 2, 1)
        with np.errstate(all="ignore"):
            result = kind_of_sums(alpha) * (left @ right)
            if beta != 0:
                result = result + kind_of_sums(beta) * _numbers(c, c_kind, kind_of_sums)
            c[...] = _stored(result, c_kind)

    stream._ask(product)


FUNCTIONS = {  # name in the table of cublas.cpp -> its type, and the function
    "create": (CFUNCTYPE(c_int, POINTER(c_void_p)), _create),
    "set_stream": (CFUNCTYPE(c_int, c_void_p, c_void_p), _set_stream),
    "set_workspace": (CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t), _set_workspace),
    "set_math_mode": (CFUNCTYPE(c_int, c_void_p, c_int), _set_math_mode),
    "gemm": (GEMM, _gemm),
}


class _Calls(ctypes.Structure):
    _fields_ = [(name, kind) for name, (kind, _) in FUNCTIONS.items()]


@cache
def path() -> str:
    """Return the path of the shared library, after setting its table of calls to the functions above."""
    found = build.shared_library((build.HERE / "cublas.cpp").read_text())
    table = _Calls(*[kind(_answering(function)) for kind, function in FUNCTIONS.values()])
    ctypes.CDLL(str(found)).fm_set_calls(ctypes.byref(table))
    sys.modules[__name__].table = table  # functions that C calls must stay alive
    return str(found)


def _load_nvidia_dynamic_lib(name: str) -> SimpleNamespace:
    if name != "cublas" or not settings.cublas:
        raise RuntimeError(f"DynamicLibNotFoundError: {name}")
    return SimpleNamespace(abs_path=path())


def modules() -> dict[str, types.ModuleType]:
    cuda, pathfinder = types.ModuleType("cuda"), types.ModuleType("cuda.pathfinder")
    cuda.__path__, cuda.pathfinder = [], pathfinder
    pathfinder.load_nvidia_dynamic_lib = _load_nvidia_dynamic_lib
    return {"cuda": cuda, "cuda.pathfinder": pathfinder}
