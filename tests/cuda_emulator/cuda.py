"""Emulated cupy.cuda: its names, from the modules that have them."""

from __future__ import annotations

import types

from . import memory, pointers, raw, runtime, streams
from .state import CompileException, settings


def is_available() -> bool:
    return settings.available


def _module(name, **names):
    module = types.ModuleType(name)
    vars(module).update(names)
    return module


def modules():
    """Return {dotted name: module} for cupy.cuda and its submodules."""
    inside = {
        "runtime": runtime.runtime,
        "compiler": _module("cupy.cuda.compiler", CompileException=CompileException),
        "driver": _module("cupy.cuda.driver", CUDADriverError=raw.CUDADriverError),
        "memory": _module("cupy.cuda.memory", OutOfMemoryError=memory.OutOfMemoryError),
    }
    names = {"is_available": is_available, "alloc_pinned_memory": memory.alloc_pinned_memory, "Device": runtime.Device}
    names |= {kind.__name__: kind for kind in (streams.Event, streams.Graph, streams.Stream, pointers.MemoryPointer)}
    names["get_current_stream"] = streams.get_current_stream
    package = _module("cupy.cuda", __path__=[], **names, **inside)
    return {"cupy.cuda": package} | {module.__name__: module for module in inside.values()}
