"""Emulated libcublas.so: C functions (libcublas.cpp) that call cublas.py of the emulator.

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

from . import build, cublas, memory, streams
from .state import EmulatorError, counts, device, settings

NOT_INITIALIZED, INVALID_VALUE, NOT_SUPPORTED, INTERNAL_ERROR = 1, 7, 15, 14
CREATE, SET_STREAM = CFUNCTYPE(c_int, POINTER(c_void_p)), CFUNCTYPE(c_int, c_void_p, c_void_p)
SET_WORKSPACE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)
SET_MATH_MODE = CFUNCTYPE(c_int, c_void_p, c_int)
GEMM = CFUNCTYPE(
    c_int, c_void_p, *[c_int] * 5, c_double, c_void_p, c_int, c_int, c_longlong, c_void_p, c_int, c_int, c_longlong,
    c_double, c_void_p, c_int, c_int, c_longlong, c_int, c_int,
)  # fmt: skip
handles: dict[int, SimpleNamespace] = {}


class _Calls(ctypes.Structure):
    _fields_ = [
        ("create", CREATE), ("set_stream", SET_STREAM), ("set_workspace", SET_WORKSPACE),
        ("set_math_mode", SET_MATH_MODE), ("gemm", GEMM),
    ]  # fmt: skip


def _answering(function):
    """Wrap a function so that it returns a status to C. Its exceptions are stored, and raised by check_faults."""

    def answer(*arguments):
        try:
            return function(*arguments) or 0
        except cublas.CUBLASError as error:
            return NOT_SUPPORTED if "NOT_SUPPORTED" in str(error) else INVALID_VALUE
        except Exception as error:
            _faults.append(error)
            return INTERNAL_ERROR

    return answer


_faults: list[Exception] = []


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


def _gemm(
    handle, ta, tb, m, n, k, alpha, A, a_kind, lda, sa, B, b_kind, ldb, sb, beta, C, c_kind, ldc, sc, count, computed
):
    kinds = [cublas.TYPES.get(kind) for kind in (a_kind, b_kind, c_kind)]
    if None in kinds or handle not in handles:
        return NOT_SUPPORTED
    owner = handles[handle]
    if owner.device != device():
        raise EmulatorError(f"a handle of device {owner.device} on device {device()}")
    stream = streams.stream_at(owner.stream)
    if stream.is_capturing():
        if owner.workspace is None:
            raise EmulatorError("cuBLAS allocates memory while the stream is captured: it has no workspace")
    elif streams.is_anyone_capturing() and stream.ptr == 0:
        raise EmulatorError("a product on the null stream while another stream is captured")
    cublas._check_types(*kinds, computed, owner.math_mode)
    cublas._multiply(
        stream, ta, tb, m, n, k, alpha, A, kinds[0], lda, sa, B, kinds[1], ldb, sb, beta, C, kinds[2], ldc, sc,
        count, cublas._computed(computed), owner.workspace,
    )  # fmt: skip
    return 0


@cache
def path() -> str:
    """Return the path of the shared library, after setting its table of calls to the functions above."""
    found = build.shared_library((build.HERE / "libcublas.cpp").read_text())
    library = ctypes.CDLL(str(found))
    kinds = CREATE, SET_STREAM, SET_WORKSPACE, SET_MATH_MODE, GEMM
    functions = _create, _set_stream, _set_workspace, _set_math_mode, _gemm
    table = _Calls(*[kind(_answering(function)) for kind, function in zip(kinds, functions, strict=True)])
    library.fm_set_calls(ctypes.byref(table))
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
