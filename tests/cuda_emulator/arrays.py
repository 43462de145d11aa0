"""Emulated cupy.ndarray. Like CuPy's, it cannot be mixed with NumPy arrays or converted to one implicitly."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import memory, pointers
from .runtime import Device
from .state import CompileException, counts, settings
from .streams import get_current_stream


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """Emulated cupy.ndarray; `_host` is a NumPy view of its memory."""

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        shape = (shape,) if np.ndim(shape) == 0 else tuple(int(n) for n in shape)
        dtype = np.dtype(dtype)
        if memptr is None:
            memptr = pointers.alloc(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        self._memory = memptr.mem
        self._host = memory.view(memptr.ptr, dtype, shape)
        if order == "F":
            self._host = memory.view(memptr.ptr, dtype, shape[::-1]).T
        if strides is not None:
            self._host = memory.view(memptr.ptr, dtype, shape, [s // dtype.itemsize for s in strides])

    # ---- attributes

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    device = property(lambda self: Device(self._memory.device_id))

    @property
    def data(self) -> pointers.MemoryPointer:
        return pointers.MemoryPointer(self._memory, self._address - self._memory.ptr)

    @property
    def _address(self) -> int:
        return self._host.ctypes.data if self._host.size else self._memory.ptr

    def __len__(self):
        return len(self._host)

    def __repr__(self):
        return f"emulated {self._host!r}"

    # ---- copies to and from the host

    def get(self, stream=None, order="C", out=None, blocking=True):
        counts["device_to_host"] += 1
        if blocking:
            counts["synchronizations"] += 1
        stream = stream or get_current_stream()
        self._refuse_pageable(stream, out)
        if out is None:
            out = np.empty(self.shape, self.dtype, order=order if order != "A" else "C")
        if blocking:
            stream._drain()
            np.copyto(out, self._host)
        else:
            stream._ask(lambda: np.copyto(out, self._host))
        return out

    def set(self, arr, stream=None):
        counts["host_to_device"] += 1
        if arr.shape != self.shape or arr.dtype != self.dtype:
            raise ValueError(f"{arr.dtype}{arr.shape} set into {self.dtype}{self.shape}")
        self._refuse_pageable(stream or get_current_stream(), arr)
        if stream is None:
            get_current_stream()._drain()
            self._host[...] = arr
        else:
            stream._ask(lambda: np.copyto(self._host, arr))

    @staticmethod
    def _refuse_pageable(stream, host):
        if stream.is_capturing() and (host is None or not memory.is_pinned(host.ctypes.data)):
            stream._refuse_capture("a copy from or to pageable memory")

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def _scalar(self):
        counts["device_to_host"] += 1
        counts["synchronizations"] += 1
        get_current_stream()._drain()
        return self._host.item()

    def item(self, *where):
        return wrap(self._host.item(*where))._scalar() if where else self._scalar()

    __float__ = lambda self: float(self._scalar())
    __int__ = __index__ = lambda self: int(self._scalar())
    __bool__ = lambda self: bool(self._scalar())

    def tolist(self):
        return self.get().tolist()

    def __dlpack_device__(self):
        return (2, self._memory.device_id)

    def __dlpack__(self, **_):
        return self

    # ---- computing: views are returned at once, other operations wait for the stream

    T = property(lambda self: wrap(self._host.T, self._memory))

    def reshape(self, *shape, order="C"):
        if not self.flags.c_contiguous:
            return call(np.ndarray.reshape, self, *shape, order=order)
        return wrap(self._host.reshape(*shape, order=order), self._memory)

    def ravel(self, order="C"):
        return self.reshape(-1, order=order)

    def view(self, dtype):
        return wrap(self._host.view(dtype), self._memory)

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        return call(getattr(ufunc, method), *inputs, **keywords)

    def __array_function__(self, function, types, args, kwargs):
        return call(function, *args, **kwargs)

    def __getitem__(self, key):
        keys = key if isinstance(key, tuple) else (key,)
        keys = keys if any(each is Ellipsis for each in keys) else (*keys, Ellipsis)  # so that one element is a view
        if _is_basic(keys):
            return wrap(self._host[keys], self._memory)
        return call(np.ndarray.__getitem__, self, keys, allow_host=True)

    def __setitem__(self, key, value):
        if isinstance(value, np.ndarray):
            if value.ndim and _is_basic(key):
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")  # CuPy's message
            counts["host_to_device"] += 1
        call(np.ndarray.__setitem__, self, key, value, allow_host=True)

    def __getattr__(self, name):
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(name)
        attribute = getattr(self._host, name)
        if not callable(attribute):
            return wrap(attribute)
        return lambda *args, **keywords: call(getattr(np.ndarray, name), self, *args, **keywords)


def _is_basic(key: Any) -> bool:
    """Whether an index selects a view."""
    keys = key if isinstance(key, tuple) else (key,)
    return all(isinstance(each, (int, np.integer, slice, type(None), type(Ellipsis))) for each in keys)


def _host_of(x: Any, allow_host=False):
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, np.ndarray) and not allow_host:
        raise TypeError(f"Unsupported type {type(x)}")  # CuPy's message
    if isinstance(x, (tuple, list)):
        return type(x)(_host_of(each, allow_host) for each in x)
    return x


def wrap(result: Any, place: memory.Allocation | None = None):
    """Return a result of NumPy as a device array: views stay views, and numbers become zero-dimensional arrays.

    place : allocation of a view, if known
    """
    if isinstance(result, tuple):
        return tuple(wrap(each) for each in result)
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    result = np.asarray(result)
    place = place or (memory.find(result.ctypes.data) if result.size and result.base is not None else None)
    if place is None:
        array = ndarray(result.shape, result.dtype, order="F" if result.flags.fnc else "C")
        np.copyto(array._host, result)
        return array
    array = ndarray.__new__(ndarray)
    array._memory, array._host = place, result
    return array


def compile_own():
    """Raise an error if CuPy could not compile a kernel of its own, for lack of the CUDA headers."""
    if not settings.headers:
        raise CompileException('cannot open source file "cuda_fp16.h"', "", "", ())


def call(function, *args, allow_host=False, **keywords):
    """Call a NumPy function on device arrays at once, after the pending operations of the current stream."""
    compile_own()
    if settings.late:
        get_current_stream()._drain()
    get_current_stream()._refuse_capture(getattr(function, "__name__", "an operation"))
    out = keywords.get("out")
    keywords = {name: _host_of(value) for name, value in keywords.items()}
    with np.errstate(all="ignore"):  # a device does not warn of results that are not finite
        result = function(*[_host_of(x, allow_host) for x in args], **keywords)
    if out is not None:
        return out[0] if isinstance(out, tuple) and len(out) == 1 else out
    return wrap(result)
