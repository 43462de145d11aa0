"""Emulated cupy.cuda: its names, from the modules that have them."""

from __future__ import annotations

import types

from . import cublas, memory, raw
from .memory import MemoryPool as MemoryPool
from .memory import alloc_pinned_memory as alloc_pinned_memory
from .pointers import MemoryPointer as MemoryPointer
from .pointers import alloc as alloc
from .runtime import CUDARuntimeError as CUDARuntimeError
from .runtime import Device as Device
from .runtime import runtime as runtime
from .state import CompileException, device, settings
from .streams import Event as Event
from .streams import Graph as Graph
from .streams import Stream as Stream
from .streams import get_current_stream as get_current_stream


def is_available() -> bool:
    return settings.available


def get_device_id() -> int:
    return device()


def get_elapsed_time(start, end) -> float:
    return 0.001


def _module(name, **names):
    module = types.ModuleType(name)
    vars(module).update(names)
    return module


compiler = _module("cupy.cuda.compiler", CompileException=CompileException)
driver = _module("cupy.cuda.driver", CUDADriverError=raw.CUDADriverError)
memory_module = _module(
    "cupy.cuda.memory",
    OutOfMemoryError=memory.OutOfMemoryError,
    MemoryPointer=MemoryPointer,
    MemoryPool=MemoryPool,
    alloc=alloc,
)
device_module = _module(
    "cupy.cuda.device", get_cublas_handle=lambda: cublas.HANDLE, get_device_id=get_device_id, Device=Device
)
stream_module = _module("cupy.cuda.stream", Stream=Stream, Event=Event, get_current_stream=get_current_stream)


def modules():
    """Return {dotted name: module} for cupy.cuda and its submodules."""
    namespace = {
        name: globals()[name]
        for name in (
            "Device",
            "Event",
            "Graph",
            "MemoryPointer",
            "MemoryPool",
            "Stream",
            "alloc",
            "alloc_pinned_memory",
            "compiler",
            "driver",
            "get_current_stream",
            "get_device_id",
            "get_elapsed_time",
            "is_available",
            "runtime",
        )
    }
    namespace |= {"memory": memory_module, "device": device_module, "stream": stream_module}
    namespace["get_cublas_handle"] = device_module.get_cublas_handle
    package = _module("cupy.cuda", __path__=[], **namespace)
    inside = (runtime, compiler, driver, memory_module, device_module, stream_module)
    return {"cupy.cuda": package} | {module.__name__: module for module in inside}
